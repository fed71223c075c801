// What workers of the crash tests do with a message.
#pragma once

#include <string>

#include "support/world.hpp"

namespace cyto::test {

void one_to_one(world& in, const std::string& message);  // One cell, one message sent.
void nothing(world& in, const std::string& message);
void cell_only(world& in, const std::string& message);
void two_to_one(world& in, const std::string& message);
void other_lanes(world& in, const std::string& message);
void large(world& in, const std::string& message);        // Built in the ring.
void whole_lane(world& in, const std::string& message);   // Nearly all of the ring.
void three_lines(world& in, const std::string& message);  // Copied; may straddle the ring's end.
void five_to_three(world& in, const std::string& message);
// Records with brief headers, of shapes that nobody has sent yet and of one that the turn has.
void new_shapes(world& in, const std::string& message);
void last_shape(world& in, const std::string& message);  // One of those.
void set_and_cells(world& in, const std::string& message);
// Asks for the same message once more, and then sends the rest.
void in_two_turns(world& in, const std::string& message);
// Its second lane was filled by fill_lane().
void into_a_full_lane(world& in, const std::string& message);

void warm_up(world& in, const std::string& message);  // A line further on every lane.
// So many members and cells that both indexes double with the next ones.
void fill_indexes(world& in, const std::string& message);
void fill_lane(world& in, const std::string& message);

}  // namespace cyto::test
