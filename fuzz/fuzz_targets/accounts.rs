//! See `apprunner_operator::fuzzing::accounts`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| apprunner_operator::fuzzing::accounts(data));
