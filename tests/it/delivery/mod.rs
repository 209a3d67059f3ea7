//! Delivery is watched and nothing is given up: alerts that no sink takes ring an alarm, messages
//! that fail come again, and messages that cannot be read are set aside.

mod alarm;
mod set_aside;
mod three_days;
