//! The roles of the emulator, and the sessions of callers that assumed them.

use std::collections::HashMap;

use jiff::Timestamp;

use super::role::Role;
use super::role_arn::RoleArn;
use super::{AssumedRole, Credentials};
use crate::AccessKey;
use crate::model::ids::{random_base32, random_hex, random_secret};

/// All roles, in order of their creation, and all sessions since the last reset.
#[derive(Debug, Default)]
pub(crate) struct Roles {
    roles: Vec<StoredRole>,
    /// Credentials of each session by access key id.
    sessions: HashMap<String, Credentials>,
}

#[derive(Debug)]
struct StoredRole {
    role: Role,
    /// Unique id, another one when a role is deleted and created again.
    id: String,
}

impl Roles {
    pub(crate) fn new(roles: &[Role]) -> Self {
        let mut all = Self::default();
        for role in roles {
            all.put(role.clone());
        }
        all
    }

    pub(crate) fn all(&self) -> Vec<Role> {
        self.roles.iter().map(|stored| stored.role.clone()).collect()
    }

    pub(crate) fn find(&self, arn: &str) -> Option<&Role> {
        self.roles.iter().find(|stored| stored.role.arn == arn).map(|stored| &stored.role)
    }

    /// Adds a role, or replaces the trust policy of the role with this ARN; the sessions of the role continue.
    pub(crate) fn put(&mut self, role: Role) {
        match self.roles.iter_mut().find(|stored| stored.role.arn == role.arn) {
            Some(stored) => stored.role = role,
            None => self.roles.push(StoredRole { role, id: format!("AROA{}", random_base32(17)) }),
        }
    }

    /// Deletes a role with its sessions; returns false if it does not exist.
    pub(crate) fn delete(&mut self, arn: &str) -> bool {
        let before = self.roles.len();
        self.roles.retain(|stored| stored.role.arn != arn);
        self.sessions.retain(|_, session| session.role_arn() != Some(arn));
        self.roles.len() < before
    }

    /// Starts a session of a role; returns nothing if the role does not exist or has an invalid ARN.
    pub(crate) fn start_session(&mut self, arn: &str, name: &str, expires_at: Timestamp) -> Option<Credentials> {
        let stored = self.roles.iter().find(|stored| stored.role.arn == arn)?;
        let parsed = RoleArn::parse(arn)?;
        let key = AccessKey::new(format!("ASIA{}", random_base32(16)), random_secret(), parsed.account);
        let token = (0..8).map(|_| random_hex()).collect::<String>();
        let role =
            AssumedRole { role_arn: arn.to_owned(), arn: parsed.session(name), id: format!("{}:{name}", stored.id) };
        let session = Credentials { key: key.with_session_token(token, Some(expires_at)), role: Some(role) };
        self.sessions.insert(session.key.id.clone(), session.clone());
        Some(session)
    }

    /// Returns the credentials of a session.
    pub(crate) fn session(&self, access_key_id: &str) -> Option<Credentials> {
        self.sessions.get(access_key_id).cloned()
    }

    /// Ends the validity of all sessions of a role; returns their number without those that had expired before.
    pub(crate) fn expire_sessions(&mut self, arn: &str, at: Timestamp) -> usize {
        let of_role = self.sessions.values_mut().filter(|session| session.role_arn() == Some(arn));
        let tokens = of_role.filter_map(|session| session.key.session_token.as_mut());
        let live = tokens.filter(|token| token.expires_at.is_none_or(|end| end > at));
        live.map(|token| token.expires_at = Some(at)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:iam::111122223333:role/reader";

    #[test]
    fn a_role_that_is_created_again_has_another_id_and_no_sessions() {
        let mut roles = Roles::new(&[Role::new(ARN)]);
        let first = roles.start_session(ARN, "one", Timestamp::MAX).unwrap();
        roles.put(Role::new(ARN).trusting("444455556666"));
        let second = roles.start_session(ARN, "one", Timestamp::MAX).unwrap();
        assert_eq!(first.role, second.role);
        assert!(roles.delete(ARN) && !roles.delete(ARN));
        assert!(roles.session(&first.key.id).is_none() && roles.start_session(ARN, "one", Timestamp::MAX).is_none());
        roles.put(Role::new(ARN));
        assert_ne!(roles.start_session(ARN, "one", Timestamp::MAX).unwrap().role, first.role);
    }

    #[test]
    fn debug_output_contains_no_secret_and_no_token() {
        let mut roles = Roles::new(&[Role::new(ARN).with_external_id("hush")]);
        let session = roles.start_session(ARN, "one", Timestamp::MAX).unwrap();
        let (secret, token) = (&session.key.secret, &session.key.session_token.as_ref().unwrap().token);
        let shown = format!("{roles:?} {session:?}");
        assert!(shown.contains(ARN) && !shown.contains("hush"), "{shown}");
        assert!(!shown.contains(secret) && !shown.contains(token), "{shown}");
    }
}
