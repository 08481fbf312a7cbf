//! The engine against a model of a world.

mod crash;
mod model;
mod run;
