//! See `apprunner_operator::fuzzing::arn`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| apprunner_operator::fuzzing::arn(data));
