//! Tests of the dialect: the envelope, each document, the answers, and what must hold for any bytes.

mod answers;
mod anything;
mod envelope;
mod fixtures;
mod inventory;
mod orders;
mod samples;
mod shipments;
mod unusual;
