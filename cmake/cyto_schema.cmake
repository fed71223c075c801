# cyto_schema(<target> <file.fbs>...)
#
# Compiles each schema with flatc when <target> is built, so that the target, and whoever links it,
# can say #include "<file>_generated.h". A schema may include those of ${cyto_SCHEMAS_DIR} and those
# of its own folder. The generated headers count as system headers: nobody answers for their style.

# An installed cyto has set the folder before; in the source tree it is beside this one. The property
# carries it to callers that do not share a scope with this file.
if(NOT DEFINED cyto_SCHEMAS_DIR)
  get_filename_component(cyto_SCHEMAS_DIR "${CMAKE_CURRENT_LIST_DIR}/../schemas" ABSOLUTE)
endif()
set_property(GLOBAL PROPERTY cyto_SCHEMAS_DIR "${cyto_SCHEMAS_DIR}")
find_program(CYTO_FLATC flatc DOC "The FlatBuffers compiler" REQUIRED)

function(cyto_schema target)
  get_property(cyto_schemas GLOBAL PROPERTY cyto_SCHEMAS_DIR)
  set(folder "${CMAKE_CURRENT_BINARY_DIR}/${target}_schema")
  # The folder is there before the first build, for tools that read the compile commands.
  file(MAKE_DIRECTORY "${folder}")

  foreach(schema IN LISTS ARGN)
    get_filename_component(schema "${schema}" ABSOLUTE)
    get_filename_component(name "${schema}" NAME_WE)
    get_filename_component(source_folder "${schema}" DIRECTORY)
    # Any schema that could be included counts as included: flatc is quick, a stale header is not.
    file(GLOB neighbours CONFIGURE_DEPENDS "${source_folder}/*.fbs" "${cyto_schemas}/*.fbs")
    set(header "${folder}/${name}_generated.h")
    add_custom_command(
      OUTPUT "${header}"
      COMMAND "${CYTO_FLATC}" --cpp --gen-name-strings --gen-mutable --scoped-enums
              --reflect-types --reflect-names
              -I "${source_folder}" -I "${cyto_schemas}" -o "${folder}" "${schema}"
      DEPENDS "${schema}" ${neighbours}
      COMMENT "Compiling schema ${name}.fbs"
      VERBATIM)
    target_sources(${target} PRIVATE "${header}")
  endforeach()

  get_target_property(type ${target} TYPE)
  if(type STREQUAL "INTERFACE_LIBRARY")
    set(scope INTERFACE)
  else()
    set(scope PUBLIC)
  endif()
  target_include_directories(${target} SYSTEM ${scope} "$<BUILD_INTERFACE:${folder}>")
endfunction()
