//! Checks that a program runs without any other file, and reads its processor.

/// A program header that names the dynamic loader.
const INTERPRETER: u32 = 3;

/// The processor of a static program, by Go's name. Source: System V ABI, ELF-64 object file format.
pub(crate) fn architecture_of(program: &[u8]) -> Result<&'static str, String> {
    let read = || {
        program.starts_with(b"\x7fELF\x02\x01").then_some(())?;
        let headers = usize::try_from(u64::from_le_bytes(array(program, 32)?)).ok()?;
        let size = usize::from(u16::from_le_bytes(array(program, 54)?));
        let count = usize::from(u16::from_le_bytes(array(program, 56)?));
        let kinds = (0..count).map(|n| array(program, headers + n * size).map(u32::from_le_bytes));
        Some((u16::from_le_bytes(array(program, 18)?), kinds.collect::<Option<Vec<u32>>>()?))
    };
    let (machine, kinds) = read().ok_or("it is no 64-bit program of Linux")?;
    if kinds.contains(&INTERPRETER) {
        return Err("it needs shared libraries, and an image has none: build it with hack/image/build".into());
    }
    match machine {
        62 => Ok("amd64"),
        183 => Ok("arm64"),
        243 => Ok("riscv64"),
        other => {
            Err(format!("its processor, {other} in ELF's list, is not known here: add it to hack/image/src/elf.rs"))
        }
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The smallest file that passes as a program.
    pub(crate) fn program(machine: u16, kind: u32) -> Vec<u8> {
        let mut elf = vec![0; 120];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        elf[18..20].copy_from_slice(&machine.to_le_bytes());
        elf[32] = 64;
        elf[54] = 56;
        elf[56] = 1;
        elf[64..68].copy_from_slice(&kind.to_le_bytes());
        elf
    }

    #[test]
    fn architecture_of_a_static_program_is_read() {
        assert_eq!(architecture_of(&program(62, 1)), Ok("amd64"));
        assert_eq!(architecture_of(&program(183, 1)), Ok("arm64"));
    }

    #[test]
    fn program_that_could_not_run_is_refused_with_the_reason() {
        let refusals = [
            (program(62, INTERPRETER), "needs shared libraries"),
            (program(40, 1), "its processor, 40"),
            (program(62, 1)[..66].to_vec(), "no 64-bit program"),
            (b"#!/bin/sh\n".to_vec(), "no 64-bit program"),
        ];
        for (program, words) in refusals {
            let refusal = architecture_of(&program).unwrap_err();
            assert!(refusal.contains(words), "{refusal}");
        }
    }
}
