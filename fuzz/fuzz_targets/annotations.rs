//! See `apprunner_operator::fuzzing::annotations`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| apprunner_operator::fuzzing::annotations(data));
