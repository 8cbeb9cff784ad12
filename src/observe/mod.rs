//! What is logged and counted: one function per event.
