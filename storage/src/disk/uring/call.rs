//! Futures over slots of the ring. Dropping one leaves its operation to the ring, which frees it when the kernel
//! is done.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::UringDisk;
use super::flight::{Flight, operation_code, run_blocking};
use crate::disk::request::{Answer, Request};

/// One operation: issued at the first poll.
pub(super) struct Call {
    disk: UringDisk,
    state: State,
}

enum State {
    Fresh(Request),
    InRing(usize),
    Answered(Answer),
    Taken,
}

impl Call {
    pub(super) fn new(disk: UringDisk, request: Request) -> Call {
        Call { disk, state: State::Fresh(request) }
    }

    /// Puts the operation into the submission queue without telling the kernel yet.
    fn issue(&mut self) {
        let State::Fresh(request) = std::mem::replace(&mut self.state, State::Taken) else {
            unreachable!("a call is issued once");
        };
        let direct_allowed = self.disk.direct_allowed(&request);
        self.state = match Flight::new(request, direct_allowed) {
            Err((error, request)) => State::Answered((Err(error), request)),
            Ok(mut flight) => match flight.done_already() {
                Some(outcome) => State::Answered((Ok(outcome), flight.into_request())),
                None if !self.disk.0.supported.has(operation_code(flight.request())) => {
                    let result = run_blocking(&mut flight);
                    State::Answered((result, flight.into_request()))
                }
                None => State::InRing(self.disk.0.ring.borrow_mut().start(flight)),
            },
        };
    }

    fn poll_issued(&mut self, context: &Context<'_>) -> Poll<()> {
        if let State::InRing(slot) = self.state {
            match self.disk.0.ring.borrow_mut().poll(slot, context.waker()) {
                Some(answer) => self.state = State::Answered(answer),
                None => return Poll::Pending,
            }
        }
        Poll::Ready(())
    }

    fn take(&mut self) -> Answer {
        match std::mem::replace(&mut self.state, State::Taken) {
            State::Answered(answer) => answer,
            _ => panic!("a call's answer is taken once, and not before it is there"),
        }
    }
}

impl Future for Call {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        if matches!(self.state, State::Fresh(_)) {
            self.issue();
            self.disk.0.ring.borrow_mut().submit();
            // What the kernel could do at once is complete already.
            self.disk.reap();
        }
        self.poll_issued(context).map(|()| self.take())
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let State::InRing(slot) = self.state {
            let freed = self.disk.0.ring.borrow_mut().abandon(slot);
            drop(freed);
        }
    }
}

/// Several operations, issued together at the first poll; done when all are.
pub(super) struct CallMany {
    calls: Vec<Call>,
    disk: UringDisk,
    issued: bool,
}

impl CallMany {
    pub(super) fn new(disk: UringDisk, requests: Vec<Request>) -> CallMany {
        let calls = requests.into_iter().map(|request| Call::new(disk.clone(), request)).collect();
        CallMany { calls, disk, issued: false }
    }
}

impl Future for CallMany {
    type Output = Vec<Answer>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Vec<Answer>> {
        if !self.issued {
            self.issued = true;
            self.calls.iter_mut().for_each(Call::issue);
            self.disk.0.ring.borrow_mut().submit();
            self.disk.reap();
        }
        let mut pending = false;
        for call in &mut self.calls {
            pending |= call.poll_issued(context).is_pending();
        }
        if pending {
            return Poll::Pending;
        }
        Poll::Ready(self.calls.iter_mut().map(Call::take).collect())
    }
}
