# cmake -D GIT=... -D SOURCE_DIR=... -D TO=... -P commit.cmake
#
# Writes a header with the commit that a program is built of, "-dirty" behind it if sources were
# changed since, "unknown" if this is no clone. Anew only if that is another one than before.
set(commit unknown)
if(GIT)
  execute_process(
    COMMAND ${GIT} -C ${SOURCE_DIR} describe --always --dirty --abbrev=12 --exclude=*
    OUTPUT_VARIABLE out RESULT_VARIABLE failed ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(NOT failed)
    set(commit ${out})
  endif()
endif()
file(CONFIGURE OUTPUT ${TO} @ONLY CONTENT [[
// The commit that this is built of, written at each build.
#pragma once

#define CYTO_COMMIT "@commit@"
]])
