# What both consumers build, once they have cyto::cyto and cyto_schema().
if(NOT IS_DIRECTORY "${cyto_SCHEMAS_DIR}")
  message(FATAL_ERROR "cyto_SCHEMAS_DIR is '${cyto_SCHEMAS_DIR}', not a folder")
endif()

function(consumer name source schema)
  add_executable(${name} ${source})
  target_link_libraries(${name} PRIVATE cyto::cyto)
  # The public headers must pass the warnings of a strict user.
  target_compile_options(${name} PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror)
  cyto_schema(${name} ${schema})
endfunction()

consumer(send ${CYTO_ROOT}/examples/hello/send.cpp ${CYTO_ROOT}/examples/hello/tick.fbs)
consumer(receive ${CYTO_ROOT}/examples/hello/receive.cpp ${CYTO_ROOT}/examples/hello/tick.fbs)
# A schema that includes one of cyto's own.
consumer(wrapped ${CMAKE_CURRENT_LIST_DIR}/wrapped.cpp ${CMAKE_CURRENT_LIST_DIR}/wrapped.fbs)
