//! Which user a person is: by issuer and subject (`OpenID` Connect Core 1.0, 5.7), and by nothing else.
//!
//! A link ends with its user; one that was left behind does not lead to whoever has the name later.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::OidcError;
use super::person::{Person, Rules};
use crate::entropy;
use crate::id::UserId;
use crate::identity::user::{Row, USERS, UserError, Users, commit};
use crate::store::{Batch, Record, StoreError, Table, tables};
use crate::vault::Secret;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Link {
    user: UserId,
    /// Since when there is this user: another one of the same name is another person.
    created: Timestamp,
}

impl Record for Link {
    const FORMAT: u8 = 1;
}

const LINKS: Table<String, Link> = Table::new(tables::OIDC_LINK);

impl Users {
    /// The user that a verified person is: the one they are linked to, or a new one. `connect` links them to a user who is
    /// signed in.
    pub(super) async fn enter(
        &self,
        person: &Person,
        rules: &Rules,
        connect: Option<&UserId>,
    ) -> Result<UserId, OidcError> {
        if !rules.admit(&person.groups) {
            return Err(OidcError::NotInGroup);
        }
        let key = key(person);
        let old = LINKS.get(&*self.store, &key).await.map_err(UserError::from)?;
        let linked = match &old {
            Some(link) => USERS.get(&*self.store, &link.user).await.map_err(UserError::from)?,
            None => None,
        };
        let linked = old.as_ref().zip(linked).filter(|(link, row)| row.created == link.created);
        let mut batch = Batch::new();
        match &old {
            Some(link) => LINKS.expect(&mut batch, &key, link),
            None => LINKS.expect_absent(&mut batch, &key),
        }
        match (linked, connect) {
            (Some((link, _)), Some(wanted)) if link.user != *wanted => Err(OidcError::LinkedElsewhere),
            (Some((link, _)), Some(_)) => Ok(link.user.clone()),
            (Some((link, row)), None) => {
                self.set_admin(&link.user, row, rules.admin(&person.groups)).await?;
                Ok(link.user.clone())
            }
            (None, Some(wanted)) => {
                let row = self.require(wanted).await?;
                USERS.expect(&mut batch, wanted, &row);
                LINKS.put(&mut batch, &key, &Link { user: wanted.clone(), created: row.created });
                commit(&*self.store, batch, || UserError::Busy).await?;
                Ok(wanted.clone())
            }
            (None, None) => self.make(person, rules, batch).await,
        }
    }

    async fn make(&self, person: &Person, rules: &Rules, mut batch: Batch) -> Result<UserId, OidcError> {
        if !rules.create_users {
            return Err(OidcError::NotKnownHere);
        }
        let name = person.name.as_ref().map_err(|claim| OidcError::NoName(claim.clone()))?;
        let user = UserId::parse(name)?;
        if self.user(&user).await?.is_some() {
            return Err(OidcError::NameTaken(user));
        }
        // Nobody knows it: they come in by the service, and their programs by app passwords.
        let password = Secret::from(entropy::token(&*self.entropy, 32));
        let row = self.new_row(&password, rules.admin(&person.groups).unwrap_or(false)).await?;
        USERS.expect_absent(&mut batch, &user);
        USERS.put(&mut batch, &user, &row);
        LINKS.put(&mut batch, &key(person), &Link { user: user.clone(), created: row.created });
        commit(&*self.store, batch, || UserError::Busy).await?;
        Ok(user)
    }

    /// Gives or takes the administrator's right, which holds from the next request on.
    async fn set_admin(&self, user: &UserId, row: Row, admin: Option<bool>) -> Result<(), UserError> {
        let Some(admin) = admin.filter(|admin| *admin != row.admin) else { return Ok(()) };
        let mut batch = Batch::new();
        USERS.expect(&mut batch, user, &row);
        USERS.put(&mut batch, user, &Row { admin, ..row });
        commit(&*self.store, batch, || UserError::Busy).await
    }

    /// Takes away the links to a user.
    pub(in crate::identity) async fn delete_links(&self, user: &UserId, batch: &mut Batch) -> Result<(), StoreError> {
        for (key, link) in LINKS.scan(&*self.store, LINKS.all(), usize::MAX).await? {
            if link.user == *user {
                LINKS.delete(batch, &key);
            }
        }
        Ok(())
    }
}

/// The two, without what they say: a subject may be somebody's number in a directory.
fn key(person: &Person) -> String {
    let length = (person.issuer.len() as u64).to_be_bytes();
    let digest =
        Sha256::new().chain_update(length).chain_update(&person.issuer).chain_update(&person.subject).finalize();
    data_encoding::HEXLOWER.encode(&digest)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::ManualClock;
    use crate::entropy::SeededEntropy;
    use crate::identity::Config;
    use crate::store::MemoryStore;

    fn person(subject: &str, name: &str, groups: &[&str]) -> Person {
        Person {
            issuer: "https://login.example.org".to_owned(),
            subject: subject.to_owned(),
            name: Ok(name.to_owned()),
            groups: groups.iter().map(|&group| group.to_owned()).collect(),
        }
    }

    fn bench() -> (Users, ManualClock, Rules) {
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        let entropy = Arc::new(SeededEntropy::new(7));
        let users = Users::new(Arc::new(MemoryStore::new()), Arc::new(clock.clone()), entropy, Config::default());
        let rules = Rules { allowed_groups: Vec::new(), admin_groups: vec!["it".to_owned()], create_users: true };
        (users, clock, rules)
    }

    #[tokio::test]
    async fn a_person_stays_who_they_are_and_groups_say_whether_they_administer() {
        let (users, _, rules) = bench();
        let ana = users.enter(&person("1", "Ana", &["it"]), &rules, None).await.unwrap();
        assert_eq!(ana.as_str(), "ana");
        assert!(users.user(&ana).await.unwrap().unwrap().admin);
        let renamed = users.enter(&person("1", "anna", &[]), &rules, None).await.unwrap();
        assert_eq!(renamed, ana, "another name there is the same user here");
        assert!(!users.user(&ana).await.unwrap().unwrap().admin, "the group is gone");
        let again = users.enter(&person("1", "ana", &["it"]), &rules, None).await.unwrap();
        assert!(users.user(&again).await.unwrap().unwrap().admin);
    }

    #[tokio::test]
    async fn a_name_that_is_taken_or_none_makes_nobody() {
        let (users, _, rules) = bench();
        let ana = UserId::parse("ana").unwrap();
        users.add(&ana, &Secret::from("local password".to_owned()), true).await.unwrap();
        let taken = users.enter(&person("1", "ANA", &[]), &rules, None).await;
        assert!(matches!(taken, Err(OidcError::NameTaken(name)) if name == ana));
        assert!(users.user(&ana).await.unwrap().unwrap().admin, "and takes nothing from the one who has it");
        assert!(matches!(users.enter(&person("1", "../x", &[]), &rules, None).await, Err(OidcError::BadName(_))));
        let nameless = Person { name: Err("preferred_username".to_owned()), ..person("1", "", &[]) };
        assert!(matches!(users.enter(&nameless, &rules, None).await, Err(OidcError::NoName(_))));
        let closed = Rules { create_users: false, ..rules };
        assert!(matches!(users.enter(&person("1", "ben", &[]), &closed, None).await, Err(OidcError::NotKnownHere)));
        assert_eq!(users.list().await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_signed_in_person_connects_once_and_keeps_their_right_until_they_sign_in_so() {
        let (users, _, rules) = bench();
        let (ana, ben) = (UserId::parse("ana").unwrap(), UserId::parse("ben").unwrap());
        for user in [&ana, &ben] {
            users.add(user, &Secret::from("local password".to_owned()), true).await.unwrap();
        }
        let closed = Rules { create_users: false, ..rules };
        assert_eq!(users.enter(&person("1", "x", &[]), &closed, Some(&ana)).await.unwrap(), ana);
        assert!(users.user(&ana).await.unwrap().unwrap().admin);
        let other = users.enter(&person("1", "x", &[]), &closed, Some(&ben)).await;
        assert!(matches!(other, Err(OidcError::LinkedElsewhere)));
        assert_eq!(users.enter(&person("1", "x", &["it"]), &closed, None).await.unwrap(), ana);
    }

    #[tokio::test]
    async fn a_link_ends_with_its_user() {
        let (users, clock, rules) = bench();
        let ana = users.enter(&person("1", "ana", &[]), &rules, None).await.unwrap();
        users.remove(&ana).await.unwrap();
        clock.advance(std::time::Duration::from_secs(1));
        users.add(&ana, &Secret::from("local password".to_owned()), false).await.unwrap();
        assert!(matches!(users.enter(&person("1", "ana", &[]), &rules, None).await, Err(OidcError::NameTaken(_))));
    }
}
