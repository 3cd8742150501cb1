//! One change, one transaction.

use rusqlite::{Transaction, TransactionBehavior};

use super::{ProfileError, ProfileStore};

impl ProfileStore {
    /// Changes something in one transaction, which no other writer comes between; where `change`
    /// fails, nothing has changed.
    ///
    /// # Errors
    /// [`ProfileError::Busy`] or [`ProfileError::Database`].
    pub(super) fn changed<T>(
        &mut self,
        change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, ProfileError> {
        let result = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .and_then(|transaction| {
                let value = change(&transaction)?;
                transaction.commit()?;
                Ok(value)
            });
        result.map_err(|error| self.failed(error))
    }
}
