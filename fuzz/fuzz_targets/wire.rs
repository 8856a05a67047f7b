//! See `apprunner_operator::fuzzing::wire`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| apprunner_operator::fuzzing::wire(data));
