# Installs the library, its headers, schemas and CMake package, and the command.
if(NOT PROJECT_IS_TOP_LEVEL)
  return()
endif()
include(CMakePackageConfigHelpers)
set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/cyto)

install(TARGETS cyto EXPORT cytoTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT cytoTargets NAMESPACE cyto:: DESTINATION ${package_folder})

# Both forms of a schema: as it is, to be included by other schemas, and compiled.
install(DIRECTORY schemas/ DESTINATION ${CMAKE_INSTALL_DATADIR}/cyto/schemas
  FILES_MATCHING PATTERN "*.fbs")
install(DIRECTORY ${PROJECT_BINARY_DIR}/src/cyto_schema/
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/cyto/schema FILES_MATCHING PATTERN "*_generated.h")

configure_package_config_file(cmake/cytoConfig.cmake.in ${PROJECT_BINARY_DIR}/cytoConfig.cmake
  INSTALL_DESTINATION ${package_folder}
  PATH_VARS CMAKE_INSTALL_DATADIR)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/cytoConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES
  ${PROJECT_BINARY_DIR}/cytoConfig.cmake
  ${PROJECT_BINARY_DIR}/cytoConfigVersion.cmake
  cmake/cyto_schema.cmake
  DESTINATION ${package_folder})

if(TARGET cyto_command)
  install(TARGETS cyto_command cyto_experiment cyto_experiment_worker RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  configure_file(cmake/cyto@.service.in ${PROJECT_BINARY_DIR}/cyto@.service @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/cyto@.service DESTINATION lib/systemd/system)
endif()

if(TARGET cyto_bench)
  install(TARGETS cyto_bench RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
