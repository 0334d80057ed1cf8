//! Fetches what a copied repository lacks from the registry that has it.

use super::Refusal;
use super::cache::Copied;
use super::digest::ContentDigest;
use super::names::Target;
use crate::home::Stage;
use crate::manifest::Descriptor;
use crate::registry::fetch::{self, Fetched};
use crate::registry::{Credentials, Download, Halt, Registries, RegistryError, Session, Unheard};
use crate::spool::{Follow, Spool};
use crate::{Error, Images};
use model::Digest;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use tokio::runtime::Handle;
use tokio::sync::watch;

/// Bytes that are read at a time.
const PIECE_BYTES: usize = 256 << 10;
/// What is asked for as a blob has no type.
const BLOB: &str = "application/octet-stream";

type Result<T, E = RegistryError> = std::result::Result<T, E>;

/// What an upstream said of a manifest.
pub(crate) enum Answered {
    /// It is what is here.
    Same,
    /// This.
    Fetched(Fetched),
}

/// Who asks, and by what way.
#[derive(Clone, Copy)]
pub(crate) struct Asker<'a> {
    pub(crate) registries: &'a Registries,
    pub(crate) credentials: &'a Credentials,
}

async fn session<'r>(asker: Asker<'r>, copied: &Copied) -> Result<Session<'r>> {
    let scopes = vec![format!("repository:{}:pull", copied.path)];
    // Never by mirrors: this registry may be one.
    Session::reach(asker.registries, &copied.domain, copied.path.as_str(), scopes, asker.credentials).await
}

/// Asks for a manifest, of which `here` is what is here.
pub(crate) async fn manifest(
    asker: Asker<'_>,
    copied: &Copied,
    target: &Target,
    here: Option<ContentDigest>,
) -> Result<Answered> {
    let session = session(asker, copied).await?;
    let name = target.to_string();
    if let Some(here) = here.and_then(|digest| digest.sha256())
        && fetch::digest(&session, &name).await? == Some(here)
    {
        return Ok(Answered::Same);
    }
    fetch::manifest(&session, &name).await.map(Answered::Fetched)
}

/// A blob that is to be fetched.
pub(crate) struct Fetch {
    pub(crate) registries: Arc<Registries>,
    pub(crate) runtime: Handle,
    pub(crate) copied: Copied,
    pub(crate) credentials: Credentials,
    pub(crate) digest: Digest,
    pub(crate) bytes: u64,
}

impl Fetch {
    /// Makes the file that it is written to, and where that lies until it is whole.
    pub(crate) fn begin(&self, images: &Images) -> std::result::Result<(Stage, Spool), Refusal> {
        let stage = images.home.stage()?;
        let path = stage.path();
        let spool = Spool::create(&path).map_err(Error::write(&path))?;
        Ok((stage, spool))
    }

    /// Fetches it; the file, synced and verified. Blocks.
    pub(crate) fn run(&self, mut spool: Spool) -> std::result::Result<PathBuf, Refusal> {
        let path = spool.path().to_owned();
        let failed = |error: RegistryError| {
            let (upstream, why) = (self.copied.domain.clone(), base::Chain(&error).to_string());
            Refusal::Upstream { upstream, why }
        };
        let asker = Asker { registries: &self.registries, credentials: &self.credentials };
        let session = self.runtime.block_on(session(asker, &self.copied)).map_err(failed)?;
        let descriptor = Descriptor::new(BLOB, self.digest, self.bytes);
        let halt = Halt::new();
        let layers = AtomicUsize::new(0);
        let mut download =
            Download::<(), _>::new(&session, &self.runtime, &Unheard, &halt, &layers, &descriptor);
        let mut buffer = vec![0; PIECE_BYTES];
        loop {
            match download.read(&mut buffer).map_err(failed)? {
                0 => break,
                got => spool.write(&buffer[..got]).map_err(Error::write(&path))?,
            }
        }
        File::open(&path).and_then(|file| file.sync_all()).map_err(Error::write(&path))?;
        let (found, _) = spool.finish();
        if found != self.digest {
            let (wanted, found) = (ContentDigest::from(self.digest), Box::new(found.into()));
            return Err(Refusal::OtherDigest { wanted, found });
        }
        Ok(path)
    }
}

/// A blob while it is fetched.
pub(crate) struct Coming {
    follow: Follow,
    path: PathBuf,
    pub(crate) bytes: u64,
    ended: watch::Sender<bool>,
}

impl Coming {
    pub(crate) fn of(spool: &Spool, bytes: u64) -> io::Result<Coming> {
        let (follow, path) = (spool.follow()?, spool.path().to_owned());
        Ok(Coming { follow, path, bytes, ended: watch::Sender::new(false) })
    }

    /// A reader from its beginning; `NotFound` once it is in its place.
    pub(crate) fn reader(&self) -> io::Result<Follow> {
        self.follow.again(&self.path)
    }

    pub(crate) fn end(&self) {
        self.ended.send_replace(true);
    }

    /// Waits until it is in its place, or given up.
    pub(crate) async fn ended(&self) {
        // The sender lives as long as this.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }
}
