//! The parts of the stack, fetched from package registries and stored under the target directory.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// AWS's DynamoDB Local, from this npm package.
const DYNAMODB: (&str, &str) = ("amplify-dynamodb-simulator", "2.9.30");
/// AWS's Lambda runtime interface emulator, from this Python wheel.
const EMULATOR: (&str, &str) = ("aws-sam-cli", "1.170.0");
/// The server for the other services.
const MOTO: (&str, &str) = ("moto[server]", "5.2.5");
/// The AWS CLI.
const AWS_CLI: (&str, &str) = ("awscli", "1.46.3");

/// The published schema of OCSF from this Python package, which also converts it to a JSON schema.
const OCSF_SCHEMA: (&str, &str) = ("ocsf-json-schema", "1.2.0");
/// The published schema of SARIF, from this npm package.
const SARIF_SCHEMA: (&str, &str) = ("@microsoft/jest-sarif", "1.0.0-beta.0");
/// HashiCorp's own parser and formatter of Terraform's language, compiled for these npm packages.
const HCL: [&str; 2] = ["@cdktn/hcl-tools@0.24.0", "@cdktn/hcl2json@0.24.0"];
/// The day on which the dependencies of `HCL` were tested: no later release of them is installed.
const HCL_TESTED_ON: &str = "2026-11-01";

/// The directory of DynamoDB Local, with the jar and its libraries.
pub fn dynamodb() -> PathBuf {
    let (name, version) = DYNAMODB;
    npm_package(&format!("dynamodb-local-{version}"), name, version).join("package/emulator")
}

/// The JSON schema of SARIF 2.1.0.
pub fn sarif_schema() -> PathBuf {
    let (name, version) = SARIF_SCHEMA;
    npm_package(&format!("sarif-schema-{version}"), name, version)
        .join("package/lib/schemas/sarif-2.1.0-rtm.5.json")
}

/// The directory whose `node_modules` contains the packages that read Terraform's language.
pub fn hcl() -> PathBuf {
    kept(&format!("hcl-{HCL_TESTED_ON}"), |into| {
        let options = ["install", "--silent", "--no-audit", "--no-fund", "--before"];
        let arguments = options.into_iter().chain([HCL_TESTED_ON]).chain(HCL);
        run(into, "npm", arguments, "Node.js with npm");
    })
}

/// The directory of the Python package with the OCSF schema.
pub fn ocsf_schema() -> PathBuf {
    let (name, version) = OCSF_SCHEMA;
    wheel(&format!("ocsf-schema-{version}"), name, version, |_| ())
}

/// The emulator's program.
pub fn emulator() -> PathBuf {
    let (name, version) = EMULATOR;
    let machine = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        other => other,
    };
    let program = format!("samcli/local/rapid/aws-lambda-rie-{machine}");
    let wheel = wheel(
        &format!("lambda-emulator-{version}"),
        name,
        version,
        |into| run(into, "chmod", ["+x", &program], "chmod"),
    );
    wheel.join(program)
}

/// The Python of the moto server.
pub fn moto() -> PathBuf {
    let (name, version) = MOTO;
    let package = format!("{name}=={version}");
    venv(&format!("moto-{version}"), &package, "moto-constraints.txt")
}

/// The Python of the AWS CLI.
pub fn aws_cli() -> PathBuf {
    let (name, version) = AWS_CLI;
    let package = format!("{name}=={version}");
    venv(
        &format!("{name}-{version}"),
        &package,
        "awscli-constraints.txt",
    )
}

/// The Python of the virtual environment `folder` with `package`. All its dependencies are pinned, by
/// the file `constraints` of this directory, to the day on which its release was tested.
fn venv(folder: &str, package: &str, constraints: &str) -> PathBuf {
    let venv = kept(folder, |into| {
        run(
            into,
            "python3",
            ["-m", "venv", "venv"],
            "Python 3 with venv",
        );
        let constraints =
            Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/stack")).join(constraints);
        run(
            into,
            "venv/bin/python",
            [
                OsStr::new("-m"),
                OsStr::new("pip"),
                OsStr::new("install"),
                OsStr::new("--quiet"),
                OsStr::new("--disable-pip-version-check"),
                OsStr::new("--constraint"),
                constraints.as_os_str(),
                OsStr::new(package),
            ],
            "Python 3 with pip",
        );
    });
    venv.join("venv/bin/python")
}

/// The Python with the tools of `.ci/bootstraps`. It exists once functions were built.
pub fn sam_python() -> PathBuf {
    let folders = fs::read_dir(stack_folder()).expect("the target directory can be read");
    folders
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| {
            let name = path.file_name().unwrap_or_default();
            name.to_string_lossy().starts_with("sam-") && path.join(".whole").exists()
        })
        .expect("`.ci/bootstraps` keeps its tools")
        .join("venv/bin/python")
}

/// The directory under the target directory that contains the stack and its logs.
pub fn stack_folder() -> PathBuf {
    super::build::target_folder().join("test-stack")
}

/// The directory `folder` with the content of the npm package `name`.
fn npm_package(folder: &str, name: &str, version: &str) -> PathBuf {
    kept(folder, |into| {
        unpack_npm(into, name, version);
    })
}

/// The directory `folder` with the content of the wheel `name`, prepared by `finish`.
fn wheel(folder: &str, name: &str, version: &str, finish: impl FnOnce(&Path)) -> PathBuf {
    kept(folder, |into| {
        let package = format!("{name}=={version}");
        let pip = [
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--dest",
            ".",
            &package,
        ];
        run(into, "python3", pip, "Python 3 with pip");
        let archive = only_file(into, "whl");
        run(
            into,
            "python3",
            [
                OsStr::new("-m"),
                OsStr::new("zipfile"),
                OsStr::new("-e"),
                archive.as_os_str(),
                OsStr::new("."),
            ],
            "Python 3",
        );
        finish(into);
    })
}

/// Unpacks the npm package `name` into the directory `package` in `into`, without its dependencies.
pub(super) fn unpack_npm(into: &Path, name: &str, version: &str) {
    let package = format!("{name}@{version}");
    run(
        into,
        "npm",
        ["pack", "--silent", &package],
        "Node.js with npm",
    );
    let archive = only_file(into, "tgz");
    run(
        into,
        "tar",
        [OsStr::new("-xzf"), archive.as_os_str()],
        "tar",
    );
    fs::remove_file(archive).expect("the archive was just written");
}

/// The directory `name` of the stack, filled by `fill` if it is missing. A marker is written last,
/// so that a partly filled directory is not used.
pub(super) fn kept(name: &str, fill: impl FnOnce(&Path)) -> PathBuf {
    let folder = stack_folder().join(name);
    let mark = folder.join(".whole");
    fs::create_dir_all(stack_folder()).expect("the target directory can be written to");
    let lock = File::create(stack_folder().join(format!("{name}.lock")))
        .expect("the target directory can be written to");
    // Another test process may be fetching the same package.
    lock.lock().expect("a lock file can be locked");
    if !mark.exists() {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("the target directory can be written to");
        fill(&folder);
        fs::write(&mark, "").expect("the target directory can be written to");
    }
    folder
}

pub(super) fn run<S: AsRef<OsStr>>(
    folder: &Path,
    program: &str,
    arguments: impl IntoIterator<Item = S>,
    needs: &str,
) {
    let mut command = Command::new(if program.contains('/') {
        folder.join(program)
    } else {
        PathBuf::from(program)
    });
    command.args(arguments).current_dir(folder);
    let output = command.output().unwrap_or_else(|error| {
        panic!("the tests need {needs}: `{program}` cannot be run: {error}")
    });
    assert!(
        output.status.success(),
        "{command:?} failed: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

fn only_file(folder: &Path, ending: &str) -> PathBuf {
    fs::read_dir(folder)
        .expect("the directory was just created")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|found| found == ending))
        .unwrap_or_else(|| panic!("the registry gave no .{ending} file"))
}
