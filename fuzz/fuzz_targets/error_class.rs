//! See `apprunner_operator::fuzzing::error_class`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| apprunner_operator::fuzzing::error_class(data));
