//! Tests of the dialect: deliveries, orders, movements, the flat form, and what must hold for any bytes.

mod anything;
mod deliveries;
mod fixtures;
mod flat;
mod movements;
mod orders;
mod samples;
