// cyto/cyto.hpp
//
// What: everything, bottom to top. The order of these lines is the architecture: a header includes
//   only what stands above it.
//
// Who, Layout, Ordering, Death: each header says it for itself. Start with pair.hpp for two
//   programs that share a lane, with worker.hpp for supervised workers, with turn.hpp for the
//   promise.
#pragma once

// clang-format off
#include "cyto/types.hpp"       // words that all share
#include "cyto/error.hpp"       // the setup path's exception
#include "cyto/cursor.hpp"      // one word, and two versions of several; memory orders
#include "cyto/postmortem.hpp"  // what a dead worker leaves
#include "cyto/segment.hpp"     // the memfd and what is where
#include "cyto/observe.hpp"     // read-only views
#include "cyto/tracing.hpp"     // what workers do, event by event
#include "cyto/doorbell.hpp"    // sleeping and waking
#include "cyto/record.hpp"      // how a message lies in a ring
#include "cyto/lane.hpp"        // the ring
#include "cyto/message.hpp"     // FlatBuffers in the ring
#include "cyto/schema.hpp"      // what a message type looks like, as text
#include "cyto/stamp.hpp"       // logical time
#include "cyto/version_vector.hpp" // before, after, or neither
#include "cyto/turn.hpp"        // all or nothing
#include "cyto/mailbox.hpp"     // causal merge
#include "cyto/cell.hpp"        // values that merge
#include "cyto/snapshot.hpp"    // cells of many workers at one time
#include "cyto/quarantine.hpp"  // messages that kill
#include "cyto/update.hpp"      // changes of other workers' cells
#include "cyto/port.hpp"        // a place in a system for a thread of any program
#include "cyto/pair.hpp"        // two programs that share a lane by name
#include "cyto/shared_port.hpp" // many threads before one port
#include "cyto/rate_control.hpp" // how fast a source is
#include "cyto/worker.hpp"      // the loop
#include "cyto/supervisor.hpp"  // who starts and restarts
// clang-format on
