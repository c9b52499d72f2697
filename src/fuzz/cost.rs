//! What a computation takes: memory, and time of the processor. The clock on the wall would also
//! count what others do.

/// What something took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// Bytes allocated at the same time, at most.
    pub(crate) bytes: u64,
    /// Seconds that this thread computed.
    pub(crate) seconds: f64,
}

/// Runs `work` and measures it.
pub(crate) fn cost(work: impl FnOnce()) -> Cost {
    let begin = processor_seconds();
    let memory = allocation_counter::measure(work);
    Cost { bytes: memory.bytes_max, seconds: processor_seconds() - begin }
}

#[cfg(target_os = "linux")]
fn processor_seconds() -> f64 {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap();
    time.tv_sec() as f64 + time.tv_nsec() as f64 * 1e-9
}

#[cfg(not(target_os = "linux"))]
fn processor_seconds() -> f64 {
    crate::platform::now_ms() / 1e3
}

#[test]
fn memory_and_time_are_measured() {
    let cost = cost(|| {
        let bytes = vec![1_u8; 10 << 20];
        let sum: u64 = (0..20_000_000).map(|i: usize| u64::from(bytes[i % bytes.len()])).sum();
        assert_eq!(std::hint::black_box(sum), 20_000_000);
    });
    assert!(cost.bytes >= 10 << 20 && cost.bytes < 11 << 20, "{cost:?}");
    assert!(cost.seconds > 1e-3, "{cost:?}");
}
