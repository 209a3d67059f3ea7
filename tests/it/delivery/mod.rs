//! Delivery is monitored and no alert is given up: undelivered alerts raise an alarm, failed
//! messages are retried, and unreadable messages are set aside.

mod alarm;
mod set_aside;
mod three_days;
