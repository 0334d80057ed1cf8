//! What a registry has under a name, without taking it in.

use super::Registries;
use super::fetch;
use super::pull::{PullRequest, first_that_has, in_dockers_words, resolve};
use super::wait::Unheard;
use crate::manifest::{Descriptor, Document};
use crate::{Error, Image, Platform, Result};
use model::Digest;

/// What a registry has under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Its digest.
    pub digest: Digest,
    /// What it is.
    pub media_type: String,
    /// It, byte for byte.
    pub text: Vec<u8>,
    /// The images of an index, each with its platform where that is told; none for a single image.
    pub images: Vec<Descriptor>,
}

impl Registries {
    /// The manifest or index that a name means at its registry.
    ///
    /// # Errors
    /// As a pull of it.
    pub async fn remote(&self, request: &PullRequest) -> Result<Remote> {
        let found = first_that_has(self, request).await;
        let (_, found) = found.map_err(|error| in_dockers_words(error, &request.reference))?;
        let name = request.reference.familiar();
        let document = Document::parse(&found.bytes, &found.media_type);
        let document = document.map_err(|source| Error::BadManifest { name, source })?;
        let media_type = document.media_type().to_owned();
        let images = match document {
            Document::Index(index) => index.manifests,
            Document::Manifest(_) => Vec::new(),
        };
        let fetch::Fetched { bytes: text, digest, .. } = found;
        Ok(Remote { digest, media_type, text, images })
    }

    /// The image that a name means at its registry, for the platform of the request: what it says of itself. Its size is that of its
    /// layers as they would come.
    ///
    /// # Errors
    /// As a pull of it.
    pub async fn remote_image(&self, request: &PullRequest) -> Result<Image> {
        let resolved = resolve(self, request, &Unheard).await?;
        let id = resolved.manifest.config.digest;
        let size = resolved.manifest.layers.iter().map(|layer| layer.size).sum();
        let name = request.reference.digested(resolved.digest).familiar();
        let tags = request.reference.tag().map(|_| request.reference.familiar());
        let (repo_tags, repo_digests) = (tags.into_iter().collect(), vec![name]);
        Ok(Image { size, repo_tags, repo_digests, ..Image::told(id, resolved.file) })
    }

    /// The platforms of what a name means at its registry.
    ///
    /// # Errors
    /// As a pull of it.
    pub async fn remote_platforms(&self, request: &PullRequest, remote: &Remote) -> Result<Vec<Platform>> {
        if !remote.images.is_empty() {
            let told = remote.images.iter().filter_map(|image| image.platform.as_ref());
            return Ok(told.map(crate::manifest::DescriptorPlatform::platform).collect());
        }
        let Image { os, architecture, variant, .. } = self.remote_image(request).await?;
        Ok(vec![Platform { os, architecture, variant }])
    }
}
