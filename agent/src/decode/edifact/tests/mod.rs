//! Tests of the dialect: the envelope, each message, the answers, and what must hold for any bytes.

mod answers;
mod anything;
mod envelope;
mod fixtures;
mod orders;
mod receipts;
mod samples;
mod shipments;
mod stock;
