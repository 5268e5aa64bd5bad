// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import java.nio.file.AccessDeniedException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;

/// Words for what the file system refuses: its exceptions carry little more than a path.
final class FileFaults {
  private FileFaults() {}

  /// What went wrong, beginning with the file's name.
  ///
  /// @param fault any exception; one that is not the file system's keeps its message
  static String message(Throwable fault) {
    String plain = String.valueOf(fault.getMessage());
    if (!(fault instanceof FileSystemException failed) || failed.getReason() != null) {
      return plain;
    }
    return failed.getFile()
        + switch (failed) {
          case AccessDeniedException _ -> ": permission must be given, but was denied";
          case FileAlreadyExistsException _ -> ": must be a folder, but was a file";
          case NoSuchFileException _ -> ": must exist, but does not";
          default -> ": the file system refused it (" + failed.getClass().getSimpleName() + ")";
        };
  }
}
