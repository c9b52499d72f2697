//! Pools of native threads.

#![cfg(not(target_family = "wasm"))]

use super::*;
use crate::testing::test;
use std::collections::HashSet;
use std::sync::atomic::AtomicU64;
use std::thread;
use std::time::Duration;

/// A pool of its own, which like every pool never ends.
fn new_pool(threads: usize) -> &'static ThreadPool {
    let pool: &'static ThreadPool = Box::leak(Box::new(ThreadPool::new()));
    pool.grow(threads).unwrap();
    assert_eq!(pool.threads(), threads);
    pool
}

#[test]
fn every_item_is_done_once_before_a_region_ends() {
    for threads in [1, 2, 5] {
        let pool = new_pool(threads);
        let scope = pool.scope(MAX_THREADS);
        for len in (0..20).chain([1000]).chain([3; 2000]) {
            let mut values = vec![0u32; len];
            scope.for_each(values.iter_mut().enumerate(), |(i, value)| *value += 1 + i as u32);
            assert!(
                values.iter().enumerate().all(|(i, &value)| value == 1 + i as u32),
                "{threads} threads, {len} items"
            );
        }
    }
}

#[test]
fn workers_arrive_again_after_they_slept() {
    let pool = new_pool(3);
    for _ in 0..5 {
        let seen = Mutex::new(HashSet::new());
        pool.scope(MAX_THREADS).for_each(0..30, |_| {
            thread::sleep(Duration::from_millis(1));
            seen.lock().unwrap().insert(thread::current().id());
        });
        assert_eq!(seen.into_inner().unwrap().len(), 3);
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn concurrent_callers_do_not_interfere() {
    let pool = new_pool(2);
    let sum = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let scope = pool.scope(MAX_THREADS);
                    scope.for_each(1..=100, |i| {
                        sum.fetch_add(i, Ordering::Relaxed);
                    });
                }
            });
        }
    });
    assert_eq!(sum.into_inner(), 4 * 200 * 5050);
}

#[test]
fn a_panic_in_the_callers_task_waits_for_the_workers() {
    let pool = new_pool(2);
    let caller = thread::current().id();
    let finished = AtomicUsize::new(0);
    let items = AtomicUsize::new(0);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        pool.scope(MAX_THREADS).for_each(0..8, |_| {
            items.fetch_add(1, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(2));
            assert!(thread::current().id() != caller, "the caller's task");
            finished.fetch_add(1, Ordering::Relaxed);
        });
    }));
    assert!(result.is_err());
    let after = finished.load(Ordering::Relaxed);
    thread::sleep(Duration::from_millis(10));
    assert_eq!(finished.load(Ordering::Relaxed), after, "no worker is in the region any more");
    let mut sum = [0u8; 100];
    pool.scope(MAX_THREADS).for_each(sum.iter_mut(), |x| *x = 1);
    assert_eq!(sum, [1; 100], "and the pool still works");
}

#[test]
fn a_panic_in_a_workers_task_reaches_the_caller() {
    let pool = new_pool(2);
    let caller = thread::current().id();
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        pool.scope(MAX_THREADS).for_each(0..8, |_| {
            thread::sleep(Duration::from_millis(1));
            assert!(thread::current().id() == caller, "the worker's task");
        });
    }));
    let message = *result.unwrap_err().downcast::<&str>().unwrap();
    assert_eq!(message, "a pool worker panicked");
}

#[test]
fn a_scope_has_no_more_workers_than_allowed() {
    let pool = new_pool(3);
    for (max_workers, threads) in [(0, 1), (1, 2), (2, 3), (9, 3)] {
        let scope = pool.scope(max_workers);
        assert_eq!(scope.threads(), threads);
        let seen = Mutex::new(HashSet::new());
        scope.for_each(0..30, |_| {
            thread::sleep(Duration::from_millis(1));
            seen.lock().unwrap().insert(thread::current().id());
        });
        assert_eq!(seen.into_inner().unwrap().len(), threads);
    }
}
