mod e2e;
mod events;
mod replay_input;
mod replay_oracle;
mod stack;
mod store_contract;
mod table;
