//! What speaks to the gateway from outside: load, faults, simulators. Nothing here knows a product module.
