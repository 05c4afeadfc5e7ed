//! The files of one segment besides its batches.

pub mod index;
pub mod time_index;
pub mod txn_index;

#[cfg(test)]
mod tests;
