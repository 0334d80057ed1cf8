//! Publishes an index: one name for several images that its registry has.
//!
//! ```text
//!  each image in another repository -> its blobs mounted, its manifest set -> the index set to the tag
//! ```

use super::error::RegistryError;
use super::fetch;
use super::session::Session;
use super::{Credentials, Registries};
use crate::contents::NewManifest;
use crate::hash::digest_of;
use crate::manifest::{
    DOCKER_LIST, DOCKER_MANIFEST, Descriptor, DescriptorPlatform, Document, Index, OCI_INDEX,
};
use crate::{Error, Platform, Reference, Result};
use model::Digest;
use std::collections::BTreeMap;

/// An image of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its repository, with its digest.
    pub reference: Reference,
    /// What it is for.
    pub platform: Platform,
}

/// An index that is to be.
#[derive(Clone, Debug)]
pub struct PublishRequest {
    /// The name that it gets, with a tag.
    pub reference: Reference,
    /// Its images.
    pub members: Vec<Member>,
    /// Who asks.
    pub credentials: Credentials,
}

impl Registries {
    /// Publishes an index; its digest.
    ///
    /// # Errors
    /// [`Error::OtherRegistry`], [`Error::NotMounted`], [`Error::NestedIndex`], or what the registry says.
    pub async fn publish(&self, request: &PublishRequest) -> Result<Digest> {
        let PublishRequest { reference, members, credentials } = request;
        let mut scopes = vec![format!("repository:{}:pull,push", reference.path())];
        for member in members {
            if member.reference.domain() != reference.domain() {
                let (image, target) = (member.reference.domain().to_owned(), reference.domain().to_owned());
                return Err(Error::OtherRegistry { image, target });
            }
            scopes.push(format!("repository:{}:pull", member.reference.path()));
        }
        let target = Session::reach(self, reference.domain(), reference.path(), scopes, credentials).await?;
        let mut manifests = Vec::new();
        for member in members {
            manifests.push(self.bring(&target, member, credentials).await?);
        }
        let all_dockers = manifests.iter().all(|part| part.media_type == DOCKER_MANIFEST);
        let media_type = if all_dockers { DOCKER_LIST } else { OCI_INDEX };
        let index = Index {
            schema_version: 2,
            media_type: media_type.to_owned(),
            artifact_type: String::new(),
            manifests,
            subject: None,
            annotations: BTreeMap::new(),
        };
        let text = serde_json::to_string(&index);
        let text = text.map_err(|source| Error::Encode { what: "an index", source })?;
        let digest = digest_of(text.as_bytes());
        let manifest = NewManifest { digest, media_type: media_type.to_owned(), text };
        target.put_manifest(&manifest, reference.tag().unwrap_or_default()).await?;
        Ok(digest)
    }

    /// Sees that the target has an image.
    async fn bring(
        &self,
        target: &Session<'_>,
        member: &Member,
        credentials: &Credentials,
    ) -> Result<Descriptor> {
        let reference = &member.reference;
        let name = reference.familiar();
        let digest = reference.digest().ok_or_else(|| Error::NoDigest(name.clone()))?.to_string();
        let scopes = vec![format!("repository:{}:pull", reference.path())];
        let source = Session::reach(self, reference.domain(), reference.path(), scopes, credentials).await?;
        let fetched = fetch::manifest(&source, &digest).await?;
        let document = Document::parse(&fetched.bytes, &fetched.media_type);
        let document = document.map_err(|source| Error::BadManifest { name: name.clone(), source })?;
        if matches!(document, Document::Index(_)) {
            return Err(Error::NestedIndex(name));
        }
        let media_type = document.media_type().to_owned();
        if reference.path() != target.repository {
            for part in document.descriptors() {
                if !target.has_blob(part.digest).await?
                    && !target.mounted(part.digest, Some(reference.path())).await?
                {
                    let (blob, target) = (part.digest, target.repository.clone());
                    return Err(Error::NotMounted { blob, image: name, target });
                }
            }
            let text = String::from_utf8(fetched.bytes.clone());
            let text = text.map_err(|_| RegistryError::Protocol {
                url: name.clone(),
                what: "with a manifest that is no text".to_owned(),
            })?;
            let manifest = NewManifest { digest: fetched.digest, media_type: media_type.clone(), text };
            target.put_manifest(&manifest, &digest).await?;
        }
        let Platform { os, architecture, variant } = member.platform.clone();
        let platform = DescriptorPlatform { os, architecture, variant, ..DescriptorPlatform::default() };
        let descriptor = Descriptor::new(&media_type, fetched.digest, fetched.bytes.len() as u64);
        Ok(Descriptor { platform: Some(platform), ..descriptor })
    }
}
