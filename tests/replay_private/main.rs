#[path = "../it/replay_input.rs"]
mod replay_input;
#[path = "../it/replay_oracle.rs"]
mod replay_oracle;
