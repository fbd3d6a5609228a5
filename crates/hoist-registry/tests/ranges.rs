//! Large blobs by several connections: in order and out of order, cut, refused and wrong.
#![expect(clippy::unwrap_used, reason = "a failed call is a failed test")]

mod support;

use std::{
    io::Read,
    num::NonZeroU64,
    sync::{Arc, Condvar, Mutex, atomic::Ordering},
};

use hoist_core::{Describe, Digest, Digester, Kind};
use hoist_registry::{BlobReader, Credentials, Ranges, Registry, RegistryError};
use support::{
    LAYER, content, descriptor, options, reference,
    scripted::{Exchange, Scripted, Seen},
};

const LENGTH: usize = 30_000;
const SIZE: usize = 8 * LENGTH + 1234;

fn ranges() -> Ranges {
    Ranges {
        above: 100_000,
        length: NonZeroU64::new(LENGTH as u64).unwrap(),
        at_once: 4,
        in_all: 8,
    }
}

fn divided() -> Registry {
    let (mut options, _) = options();
    options.ranges = ranges();
    Registry::new(options).unwrap()
}

fn open(registry: &Registry, server: &Scripted, blob: &[u8]) -> BlobReader {
    let name = reference(&server.repository("a"));
    registry.blob(&name, &descriptor(LAYER, blob)).unwrap()
}

/// A server that plays the script when it is asked for a blob.
fn start(script: impl Fn(&mut Exchange) + Send + Sync + 'static) -> Scripted {
    Scripted::start(move |exchange| match exchange.seen.target.as_str() {
        "/v2/" => exchange.reply(200, &[], b""),
        _ => script(exchange),
    })
}

/// The beginnings of the ranges that were asked for, sorted.
fn starts(server: &Scripted) -> Vec<usize> {
    let seen = server.seen();
    let mut starts: Vec<_> = seen.iter().filter_map(|seen| seen.range_start()).collect();
    starts.sort_unstable();
    starts
}

fn all_starts() -> Vec<usize> {
    (0..=8).map(|number| number * LENGTH).collect()
}

#[test]
fn ranges_that_come_out_of_order_are_read_in_order() {
    let blob = content(SIZE, 1);
    let served = blob.clone();
    // The second range is kept back until the two after it have been served.
    let done = Arc::new((Mutex::new(0), Condvar::new()));
    let server = start(move |exchange| {
        let (count, changed) = &*done;
        let (first, _) = exchange.seen.range().unwrap();
        if first == LENGTH {
            let earlier = count.lock().unwrap();
            drop(changed.wait_while(earlier, |count| *count < 2).unwrap());
        }
        exchange.serve_cut(&served, usize::MAX);
        if first > LENGTH {
            *count.lock().unwrap() += 1;
            changed.notify_all();
        }
    });
    let registry = divided();
    assert_eq!(open(&registry, &server, &blob).bytes().unwrap(), blob);
    assert_eq!(starts(&server), all_starts());
    // What was fetched before is not fetched again.
    let mut digester = Digester::new();
    digester.update(&blob[..100_000]);
    let name = reference(&server.repository("a"));
    let rest = registry.resume_blob(&name, &descriptor(LAYER, &blob), 100_000, digester);
    assert_eq!(rest.unwrap().bytes().unwrap(), blob[100_000..]);
    assert_eq!(server.seen()[9].range_start(), Some(100_000));
}

#[test]
fn small_blobs_and_rests_come_by_one_connection() {
    let blob = content(99_999, 2);
    let served = blob.clone();
    let server = start(move |exchange| exchange.reply(200, &[], &served));
    assert_eq!(open(&divided(), &server, &blob).bytes().unwrap(), blob);
    assert_eq!(starts(&server), [0; 0]);
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn a_range_that_is_cut_goes_on_where_it_was() {
    let blob = content(SIZE, 3);
    let served = blob.clone();
    let server = start(move |exchange| {
        let is_cut = exchange.seen.range().unwrap().0 == 2 * LENGTH;
        let most = if is_cut { 20_000 } else { usize::MAX };
        exchange.serve_cut(&served, most);
    });
    assert_eq!(open(&divided(), &server, &blob).bytes().unwrap(), blob);
    let mut expected = all_starts();
    expected.insert(3, 2 * LENGTH + 20_000);
    assert_eq!(starts(&server), expected);
}

#[test]
fn a_first_range_that_is_cut_is_asked_for_again() {
    let blob = content(SIZE, 4);
    let served = blob.clone();
    let server = start(move |exchange| {
        let most = if exchange.earlier == 0 {
            10_000
        } else {
            usize::MAX
        };
        exchange.serve_cut(&served, most);
    });
    assert_eq!(open(&divided(), &server, &blob).bytes().unwrap(), blob);
    assert!(starts(&server).contains(&10_000));
}

#[test]
fn a_server_without_ranges_sends_the_whole_once() {
    let blob = content(SIZE, 5);
    let served = blob.clone();
    let server = start(move |exchange| exchange.reply(200, &[], &served));
    assert_eq!(open(&divided(), &server, &blob).bytes().unwrap(), blob);
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn a_server_that_refuses_ranges_sends_the_whole() {
    let blob = content(SIZE, 12);
    let served = blob.clone();
    let server = start(move |exchange| match exchange.seen.range() {
        Some(_) => exchange.reply(416, &[], b""),
        None => exchange.reply(200, &[], &served),
    });
    assert_eq!(open(&divided(), &server, &blob).bytes().unwrap(), blob);
    assert_eq!(server.seen().len(), 2);
}

#[test]
fn a_server_that_stops_serving_ranges_is_read_by_one_connection() {
    let blob = content(SIZE, 6);
    let served = blob.clone();
    let server = start(move |exchange| match exchange.seen.range() {
        Some((_, last)) if last < SIZE - 1 && exchange.earlier > 1 => {
            exchange.reply(200, &[], &served);
        }
        Some(_) => exchange.serve_cut(&served, usize::MAX),
        None => exchange.reply(200, &[], &served),
    });
    assert_eq!(open(&divided(), &server, &blob).bytes().unwrap(), blob);
    let end = format!("-{}", SIZE - 1);
    let is_rest = |seen: &Seen| {
        let range = seen
            .header("range")
            .is_some_and(|range| range.ends_with(&end));
        range && seen.range_start().unwrap() < 8 * LENGTH
    };
    assert_eq!(server.seen().iter().filter(|seen| is_rest(seen)).count(), 1);
}

#[test]
fn ranges_are_fetched_where_a_redirect_leads_without_the_password() {
    let blob = content(SIZE, 7);
    let served = blob.clone();
    let store = start(move |exchange| {
        assert_eq!(exchange.seen.header("authorization"), None);
        exchange.serve_cut(&served, usize::MAX);
    });
    let place = format!("http://localhost:{}/blob?signed", store.address.port());
    let server = start(
        move |exchange| match exchange.seen.header("authorization") {
            None => exchange.reply(401, &[("WWW-Authenticate", "Basic realm=\"x\"")], b""),
            Some(_) => exchange.reply(307, &[("Location", &place)], b""),
        },
    );
    let (mut options, _) = options();
    options.ranges = ranges();
    options.credentials = Credentials::default().with(
        &server.address.to_string(),
        support::password("me", "s3cret"),
    );
    let registry = Registry::new(options).unwrap();
    assert_eq!(open(&registry, &server, &blob).bytes().unwrap(), blob);
    assert_eq!(starts(&store), all_starts());
}

#[test]
fn a_wrong_range_makes_a_wrong_blob() {
    let blob = content(SIZE, 8);
    let mut served = blob.clone();
    served[5 * LENGTH] ^= 1;
    let server = start(move |exchange| exchange.serve_cut(&served, usize::MAX));
    let mut reader = open(&divided(), &server, &blob);
    let mut bytes = Vec::new();
    let error = reader.read_to_end(&mut bytes).unwrap_err();
    assert!(bytes.len() < SIZE);
    let error = RegistryError::of_io(&error).unwrap();
    assert!(
        matches!(error, RegistryError::DigestMismatch { .. }),
        "{error}"
    );
}

#[test]
fn a_range_that_never_comes_is_an_error_after_all_before_it() {
    let blob = content(SIZE, 9);
    let served = blob.clone();
    let server = start(move |exchange| {
        if exchange.seen.range().unwrap().0 == 3 * LENGTH {
            exchange.reply(503, &[], b"");
        } else {
            exchange.serve_cut(&served, usize::MAX);
        }
    });
    let mut reader = open(&divided(), &server, &blob);
    let mut bytes = Vec::new();
    let error = reader.read_to_end(&mut bytes).unwrap_err();
    assert_eq!(bytes, blob[..3 * LENGTH]);
    assert_eq!(reader.offset(), 3 * LENGTH as u64);
    let error = RegistryError::of_io(&error).unwrap();
    assert_eq!(error.kind(), Kind::Unavailable);
    let tries = starts(&server);
    let tries = tries.iter().filter(|start| **start == 3 * LENGTH);
    assert_eq!(tries.count(), 4);
}

#[test]
fn no_more_than_the_slots_is_fetched_ahead() {
    let blob = content(40 * LENGTH, 10);
    let served = blob.clone();
    let server = start(move |exchange| exchange.serve_cut(&served, usize::MAX));
    let mut reader = open(&divided(), &server, &blob);
    let mut bytes = Vec::new();
    while reader.by_ref().take(7000).read_to_end(&mut bytes).unwrap() > 0 {
        let furthest = starts(&server).pop().unwrap();
        assert!(furthest < bytes.len() + 5 * LENGTH, "{furthest}");
    }
    assert_eq!(Digest::of(&bytes), Digest::of(&blob));
}

#[test]
fn a_raised_flag_ends_all_ranges() {
    let blob = content(SIZE, 11);
    let served = blob.clone();
    let (mut options, _) = options();
    options.ranges = ranges();
    let flag = Arc::clone(&options.cancelled);
    let server = start(move |exchange| {
        if exchange.seen.range().unwrap().0 == 2 * LENGTH {
            flag.store(true, Ordering::SeqCst);
        }
        exchange.serve_cut(&served, usize::MAX);
    });
    let registry = Registry::new(options).unwrap();
    let error = open(&registry, &server, &blob).bytes().unwrap_err();
    assert!(matches!(error, RegistryError::Cancelled), "{error}");
}
