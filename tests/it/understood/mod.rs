//! Settings, messages, commands and tables say what they mean.

/// `t3b evaluate` and `t3b drift` through the binary.
mod evaluate;
/// Which of several settings is in force, and that nothing else gets in.
mod precedence;
/// Tables as other programs find them, of this format and the one before; ids led back to their owner.
mod reading;
/// Wrong settings are refused at once, all of them, with a hint and the documented exit code.
mod settings;
