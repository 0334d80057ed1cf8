//! Bytes cut into pieces of one size, packed by several threads, and put together in the order in which they came.
//!
//! ```text
//!  input -> pieces, each with the end of the one before -> workers: pack -> in order -> output
//!           (by the calling thread)                                         (by the calling thread)
//! ```
//!
//! Where the cuts are depends on the bytes alone: the same bytes become the same bytes, however many threads there are.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

/// Threads that pack one stream.
const WORKERS_MAX: usize = 8;
/// Stack of one of them.
const WORKER_STACK_BYTES: usize = 256 << 10;
/// Pieces beyond one for each thread that are cut and not put together yet.
const AHEAD: usize = 2;

/// Packs pieces of a stream; each thread has one.
pub(crate) trait PiecePacker: Send {
    /// What is known of a piece beside its packed bytes.
    type Note: Send;

    /// Packs `piece`, which comes after `before`: whatever the piece before it ends with.
    ///
    /// # Errors
    /// When the library fails, which it does for no input.
    fn pack(&mut self, before: &[u8], piece: &[u8], packed: &mut Vec<u8>) -> io::Result<Self::Note>;
}

/// A piece that is to be packed, with the piece before it.
struct Cut {
    number: u64,
    before: Arc<Vec<u8>>,
    bytes: Arc<Vec<u8>>,
}

struct Packed<N> {
    number: u64,
    bytes: Vec<u8>,
    note: N,
}

/// Packs all of `input` in pieces of `piece_bytes`; `put` gets them in their order.
///
/// # Errors
/// Those of reading, packing and `put`.
pub(crate) fn pack_all<P: PiecePacker>(
    input: &mut dyn Read,
    piece_bytes: usize,
    packer: impl Fn() -> io::Result<P>,
    mut put: impl FnMut(&[u8], P::Note) -> io::Result<()>,
) -> io::Result<()> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(WORKERS_MAX);
    let (cuts, queue) = mpsc::channel::<Cut>();
    let (done, results) = mpsc::channel::<io::Result<Packed<P::Note>>>();
    let queue = Mutex::new(queue);
    std::thread::scope(|scope| {
        // What the threads wait for ends with this, however it ends.
        let cuts = cuts;
        for _ in 0..workers {
            let (mut packer, done, queue) = (packer()?, done.clone(), &queue);
            let builder = std::thread::Builder::new().name("pack".to_owned()).stack_size(WORKER_STACK_BYTES);
            builder.spawn_scoped(scope, move || work(&mut packer, queue, &done))?;
        }
        drop(done);
        let mut joining = Joining { waiting: BTreeMap::new(), next: 0, put: &mut put };
        let mut before = Arc::new(Vec::new());
        let mut cut = 0;
        while let Some(bytes) = next_piece(input, piece_bytes)? {
            let bytes = Arc::new(bytes);
            // The threads are there as long as the queue's other end is held here.
            let _ = cuts.send(Cut { number: cut, before, bytes: Arc::clone(&bytes) });
            (before, cut) = (bytes, cut + 1);
            while cut - joining.next > (workers + AHEAD) as u64 {
                joining.take(&results)?;
            }
        }
        while joining.next < cut {
            joining.take(&results)?;
        }
        Ok(())
    })
}

fn work<P: PiecePacker>(
    packer: &mut P,
    queue: &Mutex<mpsc::Receiver<Cut>>,
    done: &mpsc::Sender<io::Result<Packed<P::Note>>>,
) {
    loop {
        // The lock is free again before the piece is packed.
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Cut { number, before, bytes }) = next else { return };
        let mut packed = Vec::new();
        let note = packer.pack(&before, &bytes, &mut packed);
        if done.send(note.map(|note| Packed { number, bytes: packed, note })).is_err() {
            return;
        }
    }
}

/// Puts pieces in their order.
struct Joining<'p, N> {
    waiting: BTreeMap<u64, Packed<N>>,
    next: u64,
    put: &'p mut dyn FnMut(&[u8], N) -> io::Result<()>,
}

impl<N> Joining<'_, N> {
    /// Waits for one more piece.
    fn take(&mut self, results: &mpsc::Receiver<io::Result<Packed<N>>>) -> io::Result<()> {
        let packed = results.recv().map_err(|_| io::Error::other("whoever packs has ended"))??;
        self.waiting.insert(packed.number, packed);
        while let Some(packed) = self.waiting.remove(&self.next) {
            (self.put)(&packed.bytes, packed.note)?;
            self.next += 1;
        }
        Ok(())
    }
}

/// The next bytes, as many as a piece has unless the input ends.
fn next_piece(input: &mut dyn Read, piece_bytes: usize) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::with_capacity(piece_bytes);
    input.take(piece_bytes as u64).read_to_end(&mut bytes)?;
    Ok((!bytes.is_empty()).then_some(bytes))
}
