//! `infra/aws-check`, as far as it can be tested without an AWS account.

use std::process::Command;

/// `infra/aws-check` needs an AWS account. Without one, its plan shows that it covers every kind of
/// change, removes everything that it creates, and calls secondkey with options that exist.
#[test]
fn the_check_on_aws_covers_every_change_and_removes_what_it_creates() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/infra/aws-check");
    let run = |arguments: &[&str]| {
        let output = Command::new("bash").arg(script).args(arguments).output();
        let output = output.unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code().unwrap(), text)
    };
    let organization = ["--member-profile", "m", "--organization-id", "o-abcdefghij"];
    let (code, plan) = run(&[&["--dry-run"], &organization[..]].concat());
    assert_eq!(code, 0, "{plan}");
    for change in [
        "create-access-key",
        "--status Inactive",
        "--status Active",
        "delete-access-key",
        "update-user",
        "delete-stack --stack-name secondkey-check-member",
        "sam delete",
        "delete-table",
    ] {
        assert!(plan.contains(change), "{change}: {plan}");
    }
    let created = plan.find("sam deploy").unwrap();
    assert!(plan.find("sam delete").unwrap() > created, "{plan}");

    let text = std::fs::read_to_string(script).unwrap();
    let mut commands = 0;
    for after in text.split("secondkey ").skip(1) {
        let subcommand = after.split(' ').next().unwrap();
        if !["doctor", "findings", "verify"].contains(&subcommand) {
            continue;
        }
        commands += 1;
        let help = Command::new(env!("CARGO_BIN_EXE_secondkey"))
            .args([subcommand, "--help"])
            .output();
        let help = String::from_utf8(help.unwrap().stdout).unwrap();
        let line = after.split(['\n', '|']).next().unwrap();
        for option in line.split(' ').filter(|word| word.starts_with("--")) {
            assert!(help.contains(option), "{subcommand} {option}: {help}");
        }
    }
    assert_eq!(commands, 3);

    assert_eq!(run(&["--member-profile", "m"]).0, 2);
    assert_eq!(run(&["--no-such"]).0, 2);
    assert_eq!(run(&["--help"]).0, 0);
}
