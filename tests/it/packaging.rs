//! The files of a release: the packaged template, the functions' zips and the Terraform module.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Map, Value, json};

use crate::stack::cloudformation::Template;
use crate::stack::fetch;

/// The parameters that only the packaged template has.
const OF_PACKAGE: [&str; 3] = ["Architecture", "CodeBucket", "CodePrefix"];
const FUNCTIONS: [(&str, &str); 3] = [
    ("Detector", "detector"),
    ("Sweeper", "sweeper"),
    ("SecurityHub", "securityhub"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a script of `.ci`.
fn python(script: &str, arguments: &[&Path]) -> Output {
    Command::new("python3")
        .arg(root().join(".ci").join(script))
        .args(arguments)
        .output()
        .expect("the tests need Python 3")
}

/// The packaged template, as text.
pub(crate) fn packaged() -> String {
    let template = root().join("infra/template.yaml");
    let version = Path::new(env!("CARGO_PKG_VERSION"));
    let output = python("packaged_template.py", &[&template, version]);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("it is UTF-8")
}

fn object(value: &mut Value) -> &mut Map<String, Value> {
    value.as_object_mut().expect("it is an object")
}

/// Removes the parameters of the code and where the functions' code comes from. Returns that.
fn without_code(template: &mut Value) -> Value {
    let mut removed = json!({});
    for name in OF_PACKAGE {
        if let Some(parameter) = object(&mut template["Parameters"]).remove(name) {
            removed["Parameters"][name] = parameter;
        }
    }
    let groups = &mut template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"];
    let groups = groups.as_array_mut().expect("the parameters have groups");
    groups.retain(|group| group["Label"]["default"] != "Code");
    let globals = object(&mut template["Globals"]["Function"]);
    for name in ["CodeUri", "Architectures"] {
        removed["Globals"][name] = globals.remove(name).unwrap_or_default();
    }
    for (name, resource) in object(&mut template["Resources"]) {
        if resource["Type"] == "AWS::Serverless::Function" {
            let code = object(&mut resource["Properties"]).remove("CodeUri");
            let build = object(resource).remove("Metadata");
            removed[name] = json!([code, build]);
        }
    }
    removed
}

#[test]
fn the_packaged_template_differs_only_in_where_code_comes_from() {
    let mut written = Template::read("infra/template.yaml").0;
    let mut packaged = Template::parse(&packaged()).0;
    let built = without_code(&mut written);
    let mut code = without_code(&mut packaged);
    assert_eq!(packaged, written);

    let parameters = object(&mut code["Parameters"]).clone();
    assert_eq!(parameters["Architecture"]["Default"], "arm64");
    assert_eq!(built["Globals"]["Architectures"], json!(["arm64"]));
    let prefix = concat!("secondkey/", env!("CARGO_PKG_VERSION"), "/");
    assert_eq!(parameters["CodePrefix"]["Default"], prefix);

    object(&mut code).remove("Parameters");
    let key = |binary| format!("${{CodePrefix}}{binary}-${{Architecture}}.zip");
    let place = |binary| json!({"Bucket": {"Ref": "CodeBucket"}, "Key": {"Fn::Sub": key(binary)}});
    let mut expected = json!({
        "Globals": {"CodeUri": null, "Architectures": [{"Ref": "Architecture"}]},
    });
    for (function, binary) in FUNCTIONS {
        expected[function] = json!([place(binary), null]);
    }
    assert_eq!(code, expected);
}

#[test]
fn every_parameter_of_the_package_is_described_and_offered() {
    let template = Template::parse(&packaged()).0;
    let groups = &template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"];
    let offered: Vec<&str> = groups
        .as_array()
        .expect("the parameters have groups")
        .iter()
        .flat_map(|group| group["Parameters"].as_array().expect("a group has some"))
        .map(|name| name.as_str().expect("a name is a string"))
        .collect();
    let parameters = template["Parameters"].as_object().expect("it has some");
    assert_eq!(offered.len(), parameters.len());
    let page = fs::read_to_string(root().join("docs/install.md")).unwrap();
    for (name, parameter) in parameters {
        assert!(offered.contains(&name.as_str()), "{name} is in no group");
        let description = parameter["Description"].as_str().unwrap_or_default();
        assert!(description.len() > 20, "{name}: {description}");
        let of_package = OF_PACKAGE.contains(&name.as_str());
        assert!(!of_package || page.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn an_unknown_form_of_the_template_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("template.yaml");
    let text = fs::read_to_string(root().join("infra/template.yaml")).unwrap();
    for (old, new) in [
        ("    CodeUri: ..\n", "    CodeUri: ../\n"),
        ("Architectures: [arm64]", "Architectures: [x86_64]"),
        ("BuildMethod: rust-cargolambda", "BuildMethod: makefile"),
    ] {
        assert!(text.contains(old), "{old}");
        fs::write(&path, text.replacen(old, new, 1)).unwrap();
        let output = python("packaged_template.py", &[&path, Path::new("1.0.0")]);
        assert!(!output.status.success(), "{new}");
        assert_eq!(output.stdout, b"", "{new}");
    }
}

/// The start of an ELF file for `machine`, as in the ELF specification.
fn elf(machine: u16) -> Vec<u8> {
    let mut file = b"\x7fELF".to_vec();
    file.resize(18, 0);
    file.extend(machine.to_le_bytes());
    file.extend(b"code");
    file
}

#[test]
fn a_zip_holds_one_executable_bootstrap_of_its_machine() {
    let folder = tempfile::tempdir().unwrap();
    let bootstrap = folder.path().join("any-name");
    let zip = |content: &[u8], architecture: &str, name: &str| {
        fs::write(&bootstrap, content).unwrap();
        let path = folder.path().join(name);
        let output = python(
            "lambda_zip.py",
            &[&bootstrap, Path::new(architecture), &path],
        );
        output.status.success().then_some(path)
    };
    for (architecture, machine) in [("arm64", 0xb7), ("x86_64", 0x3e)] {
        let path = zip(&elf(machine), architecture, "first.zip").expect("it is packed");
        let again = zip(&elf(machine), architecture, "second.zip").expect("it is packed");
        assert_eq!(fs::read(&path).unwrap(), fs::read(again).unwrap());
        let mut archive = zip::ZipArchive::new(fs::File::open(path).unwrap()).unwrap();
        assert_eq!(archive.len(), 1);
        let mut entry = archive.by_index(0).unwrap();
        assert_eq!(entry.name().unwrap(), "bootstrap");
        assert_eq!(entry.unix_mode(), Some(0o100_755));
        let mut content = vec![];
        entry.read_to_end(&mut content).unwrap();
        assert_eq!(content, elf(machine));
    }
    assert_eq!(zip(&elf(0xb7), "x86_64", "wrong.zip"), None);
    assert_eq!(zip(b"#!/bin/sh\necho a script", "arm64", "wrong.zip"), None);
}

/// The Terraform files under `infra/terraform`, read by HashiCorp's own parser: the text, the text
/// as `terraform fmt` writes it, and the content.
fn terraform() -> BTreeMap<PathBuf, Value> {
    let files: Vec<PathBuf> = walkdir::WalkDir::new(root().join("infra/terraform"))
        .into_iter()
        .map(|entry| entry.unwrap().into_path())
        .filter(|path| path.extension().is_some_and(|it| it == "tf"))
        .collect();
    let output = Command::new("node")
        .arg(root().join("tests/it/packaging/read_hcl.js"))
        .arg(fetch::hcl())
        .args(&files)
        .output()
        .expect("the tests need Node.js");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let read: BTreeMap<PathBuf, Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(read.len(), files.len());
    read
}

/// `RotationWindowHours` as `rotation_window_hours`.
fn snake_case(name: &str) -> String {
    let mut result = String::new();
    for (place, letter) in name.char_indices() {
        if letter.is_ascii_uppercase() && place > 0 {
            result.push('_');
        }
        result.push(letter.to_ascii_lowercase());
    }
    result
}

#[test]
fn the_terraform_module_offers_the_parameters_of_the_template() {
    let files = terraform();
    let content = |name: &str| &files[&root().join("infra/terraform").join(name)]["content"];
    let parameters = Template::parse(&packaged()).0["Parameters"].take();
    let parameters = parameters.as_object().unwrap();
    let variables = content("variables.tf")["variable"].as_object().unwrap();
    let passed = &content("main.tf")["locals"][0]["parameters"];
    assert_eq!(
        passed.as_object().unwrap().keys().collect::<BTreeSet<_>>(),
        parameters.keys().collect::<BTreeSet<_>>()
    );
    for (name, parameter) in parameters {
        // The module uploads the code, and so knows where it is.
        if ["CodeBucket", "CodePrefix"].contains(&name.as_str()) {
            continue;
        }
        let snake = snake_case(name);
        assert_eq!(passed[name], format!("${{var.{snake}}}"));
        let variable = &variables[&snake][0];
        assert_eq!(variable["description"], parameter["Description"], "{name}");
        let default = &variable["default"];
        assert!(
            default.is_null() || *default == parameter["Default"],
            "{name}"
        );
        let kind = match (&parameter["Type"], &parameter["AllowedValues"]) {
            (kind, _) if kind == "Number" => "${number}",
            (_, values) if *values == json!(["true", "false"]) => "${bool}",
            _ => "${string}",
        };
        assert_eq!(variable["type"], kind, "{name}");
    }
}

#[test]
fn the_terraform_files_are_formatted_and_name_what_exists() {
    let outputs = Template::read("infra/template.yaml").0["Outputs"].take();
    let mut named = 0;
    for (path, file) in terraform() {
        let path = path.display();
        assert_eq!(file["text"], file["formatted"], "{path}");
        let text = file["text"].as_str().unwrap();
        for rest in text.split("outputs[\"").skip(1) {
            let (name, _) = rest.split_once('"').unwrap();
            assert!(outputs.get(name).is_some(), "{path}: {name}");
            named += 1;
        }
    }
    assert!(named > 0, "the example shows an output");
}

#[test]
fn the_example_sets_variables_of_the_module() {
    let files = terraform();
    let folder = root().join("infra/terraform");
    let variables = &files[&folder.join("variables.tf")]["content"]["variable"];
    let example = &files[&folder.join("examples/one-account/main.tf")]["content"];
    let set = example["module"]["secondkey"][0].as_object().unwrap();
    for name in set.keys().filter(|name| *name != "source") {
        assert!(variables.get(name).is_some(), "{name}");
    }
    for (name, variable) in variables.as_object().unwrap() {
        let is_needed = variable[0].get("default").is_none();
        assert!(
            !is_needed || set.contains_key(name),
            "{name} has no default"
        );
    }
}
