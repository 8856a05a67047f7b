//! See `apprunner_emulator::fuzzing::sigv4`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| apprunner_emulator::fuzzing::sigv4(data));
