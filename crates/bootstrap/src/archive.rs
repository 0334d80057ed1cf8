//! An archive on a mirror: whether it is believed, which packages it has, and how they are fetched.

use crate::distribution::Distribution;
use crate::error::{Error, Result};
use crate::fetch::{Fetcher, disk, sha256};
use crate::index::{Index, Package};
use crate::openpgp::{Cleartext, Keyring, NotSigned, Signer};
use crate::packing::{Bounded, Packing};
use crate::release::{Listed, Release, check_name};
use aws_lc_rs::digest;
use base::Time;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

/// Bytes of `InRelease`; Debian's have 200 kB.
const RELEASE_BYTES_MAX: usize = 32 << 20;
/// Bytes of an index, unpacked; Debian's have 50 MB.
const INDEX_BYTES_MAX: u64 = 2 << 30;
/// Files that are fetched at once.
const AT_ONCE_MAX: usize = 8;

/// How an index may be packed, the smallest first.
const INDEX_ENDS: [&str; 4] = [".xz", ".zst", ".gz", ""];

/// Which archive is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where it is: `http://deb.debian.org/debian`.
    pub mirror: String,
    /// One of its suites.
    pub suite: String,
    /// Which parts of the suite.
    pub components: Vec<String>,
}

impl Place {
    /// As apt(8) is told of it (sources.list(5)).
    pub fn line(&self) -> String {
        format!("deb {} {} {}", self.mirror, self.suite, self.components.join(" "))
    }

    fn in_words(&self) -> String {
        format!("{} {} of {}", self.suite, self.components.join(", "), self.mirror)
    }

    /// The address of a file of the suite.
    fn url(&self, path: &str) -> String {
        format!("{}/dists/{}/{path}", self.mirror, self.suite)
    }

    fn check(&self) -> Result<()> {
        let rest = self.mirror.strip_prefix("http://").or_else(|| self.mirror.strip_prefix("https://"));
        if rest.is_none_or(|rest| rest.is_empty() || rest.contains(char::is_whitespace)) {
            return Err(Error::BadMirror(self.mirror.clone()));
        }
        check_name(&self.suite, "a suite")?;
        self.components.iter().try_for_each(|component| check_name(component, "a component"))
    }
}

/// Who is believed.
#[derive(Clone, Debug)]
pub struct Trust {
    /// Whose signature counts; none believes whoever answers.
    pub keyring: Option<Keyring>,
    /// Whether archives of the past are taken.
    pub expired: bool,
    /// The time.
    pub now: Time,
}

/// An archive that is believed.
#[derive(Clone, Debug)]
pub struct Archive {
    /// Which one.
    pub place: Place,
    /// What it says of itself.
    pub release: Release,
    /// Who signed it; none where nobody was asked for.
    pub signer: Option<Signer>,
}

impl Archive {
    /// Asks a mirror what it has, and looks whether to believe it.
    ///
    /// # Errors
    /// There is no such suite, or it is not to be believed.
    pub async fn open(
        fetcher: &Fetcher,
        place: Place,
        trust: &Trust,
        distribution: &'static Distribution,
    ) -> Result<Archive> {
        place.check()?;
        let mut url = place.url("InRelease");
        let mut file = fetcher.small(&url, RELEASE_BYTES_MAX).await?;
        if file.is_none() && trust.keyring.is_none() {
            // An archive that nobody signs has only this.
            url = place.url("Release");
            file = fetcher.small(&url, RELEASE_BYTES_MAX).await?;
        }
        let Some(file) = file else { return Err(unknown_suite(fetcher, &place, distribution).await) };
        let file = String::from_utf8_lossy(&file);
        let (text, signer) = match (&trust.keyring, Cleartext::parse(&file)) {
            (Some(keyring), Ok(message)) => {
                let verified = keyring.verify(&message, trust.now, trust.expired);
                let signer = verified.map_err(|source| Error::Distrust { url: url.clone(), source })?;
                (message.text, Some(signer))
            }
            (None, Ok(message)) => (message.text, None),
            (None, Err(NotSigned::Plain)) => (file.into_owned(), None),
            (_, Err(source)) => return Err(Error::NotSigned { url, source }),
        };
        let release = Release::parse(&text, &url)?;
        if !release.is_called(&place.suite) {
            let found = format!("{} ({})", release.codename, release.suite);
            return Err(Error::WrongSuite { url, wanted: place.suite, found });
        }
        match release.valid_until {
            Some(until) if until < trust.now && !trust.expired => {
                Err(Error::Expired { url, date: release.date, until })
            }
            _ => Ok(Archive { place, release, signer }),
        }
    }

    /// The index of one component: the file that is named by the release, in the best packing.
    fn index_file(&self, component: &str, architecture: &str) -> Result<(String, &'static str, Listed)> {
        let url = self.place.url("InRelease");
        if !self.release.architectures.iter().any(|own| own == architecture) {
            let what = format!(
                "it has no packages for {architecture}, only for {}",
                self.release.architectures.join(", ")
            );
            return Err(Error::Archive { url, what });
        }
        let path = format!("{component}/binary-{architecture}/Packages");
        let found = INDEX_ENDS.iter().find_map(|end| {
            let path = format!("{path}{end}");
            self.release.files.get(&path).map(|listed| (path.clone(), *end, *listed))
        });
        found.ok_or_else(|| Error::Archive { url, what: format!("it has no component {component:?}") })
    }
}

/// What to say of a suite that is not there: which ones are.
async fn unknown_suite(fetcher: &Fetcher, place: &Place, distribution: &'static Distribution) -> Error {
    let there = stream::iter(distribution.suites).map(|suite| async move {
        let url = Place { suite: (*suite).to_owned(), ..place.clone() }.url("InRelease");
        let found = fetcher.small(&url, RELEASE_BYTES_MAX).await;
        matches!(found, Ok(Some(_))).then_some(*suite)
    });
    let known = there.buffered(AT_ONCE_MAX).filter_map(async |suite| suite).collect().await;
    Error::UnknownSuite { mirror: place.mirror.clone(), suite: place.suite.clone(), known }
}

/// Where files lie between being fetched and being used, by their hashes.
#[derive(Clone, Debug)]
pub struct Shelf {
    folder: PathBuf,
}

impl Shelf {
    /// Uses a folder that is there.
    pub fn new(folder: &Path) -> Shelf {
        Shelf { folder: folder.to_owned() }
    }

    /// Where a file lies, whether it does yet or not.
    pub fn path(&self, listed: Listed) -> PathBuf {
        self.folder.join(listed.digest.hex())
    }

    /// Whether a file lies there as it should be.
    fn has(&self, listed: Listed) -> bool {
        let Ok(mut file) = File::open(self.path(listed)) else { return false };
        let mut hash = digest::Context::new(&digest::SHA256);
        let mut buffer = vec![0; 256 << 10];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return sha256(hash) == listed.digest,
                Ok(got) => hash.update(&buffer[..got]),
                Err(_) => return false,
            }
        }
    }

    /// Brings a file here from the first address that has it.
    async fn bring(
        &self,
        fetcher: &Fetcher,
        urls: &[String],
        listed: Listed,
        told: &dyn Fn(u64),
    ) -> Result<PathBuf> {
        let path = self.path(listed);
        if self.has(listed) {
            told(listed.size);
            return Ok(path);
        }
        for url in urls {
            if fetcher.file(url, listed, &path, told).await? {
                return Ok(path);
            }
        }
        Err(Error::Status { url: urls.last().cloned().unwrap_or_default(), status: 404 })
    }
}

/// Reads what there is in all archives.
///
/// # Errors
/// An index cannot be fetched, is not what its archive says, or makes no sense.
pub async fn index(
    fetcher: &Fetcher,
    shelf: &Shelf,
    archives: &[Archive],
    architecture: &str,
) -> Result<Index> {
    let mut index = Index::default();
    for (source, archive) in archives.iter().enumerate() {
        index.places.push(archive.place.in_words());
        for component in &archive.place.components {
            let (path, end, listed) = archive.index_file(component, architecture)?;
            let url = archive.place.url(&path);
            let mut urls = vec![url.clone()];
            if archive.release.by_hash {
                // While a mirror is being changed, only this is surely the file that was meant.
                let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                let by_hash = format!("{folder}/by-hash/SHA256/{}", listed.digest.hex());
                urls.insert(0, archive.place.url(&by_hash));
            }
            let file = shelf.bring(fetcher, &urls, listed, &|_| {}).await?;
            let packed = File::open(&file).map_err(disk("open", &file))?;
            let unpacked =
                Packing::of_end(end).unwrap_or(Packing::Plain).unpack(packed).map_err(disk("read", &file))?;
            let bounded = Bounded { input: unpacked, left: INDEX_BYTES_MAX };
            index.add(BufReader::with_capacity(1 << 16, bounded), &url, architecture, source)?;
        }
    }
    Ok(index)
}

/// How far fetching is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Packages that are here.
    pub packages: usize,
    /// Bytes that are here.
    pub bytes: u64,
}

/// Fetches packages, several at once; tells where each lies.
///
/// # Errors
/// One cannot be fetched, or is not what its archive says.
pub async fn fetch(
    fetcher: &Fetcher,
    shelf: &Shelf,
    archives: &[Archive],
    packages: &[&Package],
    told: &dyn Fn(Progress),
) -> Result<BTreeMap<String, PathBuf>> {
    let far = Cell::new(Progress::default());
    let step = |packages: usize, bytes: u64| {
        let now = far.get();
        far.set(Progress { packages: now.packages + packages, bytes: now.bytes + bytes });
        told(far.get());
    };
    let step = &step;
    stream::iter(packages)
        .map(|package| async move {
            let place = &archives[package.source].place;
            let url = format!("{}/{}", place.mirror, package.path);
            let digest = package.digest.ok_or_else(|| Error::WeakHashes {
                url: place.url("Packages"),
                what: format!("the package {}", package.name),
                hashes: "MD5 or SHA-1".to_owned(),
            })?;
            let listed = Listed { digest, size: package.size };
            let path = shelf.bring(fetcher, &[url], listed, &|bytes| step(0, bytes)).await?;
            step(1, 0);
            Ok((package.name.clone(), path))
        })
        .buffer_unordered(AT_ONCE_MAX)
        .try_collect()
        .await
}
