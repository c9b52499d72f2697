//! Teams of native threads.

#![cfg(not(target_family = "wasm"))]

use super::*;
use crate::testing::test;
use std::collections::HashSet;
use std::sync::atomic::AtomicU64;
use std::thread;
use std::time::Duration;

/// A team of its own, which like every team is never ended.
fn new_pool(threads: usize) -> &'static ThreadPool {
    let pool: &'static ThreadPool = Box::leak(Box::new(ThreadPool::new()));
    pool.grow(threads).unwrap();
    assert_eq!(pool.threads(), threads);
    pool
}

#[test]
fn every_item_is_done_once_before_a_phase_ends() {
    for threads in [1, 2, 5] {
        let pool = new_pool(threads);
        let scope = pool.scope(1);
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
fn helpers_come_and_come_back_after_they_slept() {
    let pool = new_pool(3);
    for _ in 0..5 {
        let seen = Mutex::new(HashSet::new());
        pool.scope(1).for_each(0..30, |_| {
            thread::sleep(Duration::from_millis(1));
            seen.lock().unwrap().insert(thread::current().id());
        });
        assert_eq!(seen.into_inner().unwrap().len(), 3);
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn two_leaders_at_once_do_not_meet() {
    let pool = new_pool(2);
    let sum = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let scope = pool.scope(1);
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
fn a_panic_in_the_leaders_piece_waits_for_the_others() {
    let pool = new_pool(2);
    let leader = thread::current().id();
    let finished = AtomicUsize::new(0);
    let items = AtomicUsize::new(0);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        pool.scope(1).for_each(0..8, |_| {
            items.fetch_add(1, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(2));
            assert!(thread::current().id() != leader, "the leader's task");
            finished.fetch_add(1, Ordering::Relaxed);
        });
    }));
    assert!(result.is_err());
    let after = finished.load(Ordering::Relaxed);
    thread::sleep(Duration::from_millis(10));
    assert_eq!(finished.load(Ordering::Relaxed), after, "nobody is at work any more");
    let mut sum = [0u8; 100];
    pool.scope(1).for_each(sum.iter_mut(), |x| *x = 1);
    assert_eq!(sum, [1; 100], "and the pool still works");
}

#[test]
fn a_panic_in_a_helpers_piece_reaches_the_leader() {
    let pool = new_pool(2);
    let leader = thread::current().id();
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        pool.scope(1).for_each(0..8, |_| {
            thread::sleep(Duration::from_millis(1));
            assert!(thread::current().id() == leader, "the worker's task");
        });
    }));
    let message = *result.unwrap_err().downcast::<&str>().unwrap();
    assert_eq!(message, "a thread that helped panicked");
}

#[test]
fn a_late_helper_is_left_out_for_a_while() {
    let pool = new_pool(2);
    let leader = thread::current().id();
    // Until the leader itself is in a piece, and a helper stays in another for long.
    let mut left_out = false;
    for _ in 0..50 {
        let scope = pool.scope(1);
        left_out |= scope.threads() == 1;
        scope.for_each(0..2, |_| {
            if thread::current().id() != leader {
                thread::sleep(Duration::from_millis(10));
            } else {
                thread::sleep(Duration::from_millis(1));
            }
        });
    }
    assert!(left_out);
}
