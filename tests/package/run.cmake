# Called by ctest: makes a consumer of cyto in ${BUILD_DIR}/package/${WAY}, from nothing.
cmake_minimum_required(VERSION 3.25)
set(work ${BUILD_DIR}/package/${WAY})
file(REMOVE_RECURSE ${work})
set(options -D CMAKE_CXX_COMPILER=${CXX} -D CYTO_ROOT=${SOURCE_DIR})

if(WAY STREQUAL "find_package")
  # DESTDIR and prefixes of the caller's own must not lead the installation elsewhere.
  set(ENV{DESTDIR})
  execute_process(COMMAND ${CMAKE_COMMAND} --install ${BUILD_DIR} --prefix ${work}/prefix
    OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
  list(APPEND options -D CMAKE_PREFIX_PATH=${work}/prefix)
  # Without this an older cyto of the machine could be found, and the test would prove nothing.
  list(APPEND options -D CYTO_EXPECTED_PREFIX=${work}/prefix)
  foreach(installed bin/cyto bin/cyto-experiment bin/cyto-experiment-worker
      include/cyto/cyto.hpp share/cyto/schemas)
    if(NOT EXISTS ${work}/prefix/${installed})
      message(FATAL_ERROR "${installed} is not installed")
    endif()
  endforeach()
endif()

execute_process(
  COMMAND ${CMAKE_COMMAND} -G ${GENERATOR} -S ${SOURCE_DIR}/tests/package/${WAY} -B ${work}/build
    ${options}
  COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_COMMAND} --build ${work}/build
  COMMAND_ERROR_IS_FATAL ANY)
