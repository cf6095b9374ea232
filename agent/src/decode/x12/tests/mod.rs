//! Tests of the dialect: the envelope, each document, the answers, and what must hold for any bytes.

mod samples;
