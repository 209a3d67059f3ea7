//! End to end: real keys in moto, events through a rule and a queue, the release build of the
//! detector in AWS's emulator, findings in AWS's DynamoDB Local, and alerts in a queue behind the
//! topic.

mod accounts;
mod adoption;
mod cases;
mod exemptions;
mod faults;
mod round_trips;
mod scale;
pub mod securityhub;
mod sweeps;
mod tls;
mod world;
