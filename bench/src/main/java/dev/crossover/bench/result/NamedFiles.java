// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.result;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;

/// Reads and writes files so that whatever goes wrong names the file: a full disk and a folder in
/// the place of a file are told by the system in words that do not.
public final class NamedFiles {
  private NamedFiles() {}

  /// Writes text as UTF-8.
  ///
  /// @throws IOException beginning with the file's name
  public static void write(Path path, String text) throws IOException {
    write(path, text.getBytes(StandardCharsets.UTF_8));
  }

  /// Writes bytes.
  ///
  /// @throws IOException beginning with the file's name
  public static void write(Path path, byte[] bytes) throws IOException {
    try {
      Files.write(path, bytes);
    } catch (IOException e) {
      throw named(path, e);
    }
  }

  /// All bytes of a file.
  ///
  /// @throws IOException beginning with the file's name
  public static byte[] bytes(Path path) throws IOException {
    try {
      return Files.readAllBytes(path);
    } catch (IOException e) {
      throw named(path, e);
    }
  }

  /// The same fault, its message beginning with the file's name.
  public static IOException named(Path path, IOException fault) {
    String message = fault.getMessage();
    if (fault instanceof FileSystemException failed && failed.getFile() != null) {
      return fault;
    }
    if (message != null && message.contains(path.toString())) {
      return fault;
    }
    Throwable cause = fault.getCause();
    String deeper = cause == null ? null : cause.getMessage();
    String why = deeper != null ? deeper : message == null ? fault.toString() : message;
    return new IOException(path + ": " + why, fault);
  }

  /// A folder for temporary files that is there.
  ///
  /// @throws IOException if it is missing or cannot be written, saying how to name another
  public static Path temporaryFolder() throws IOException {
    Path folder = Path.of(System.getProperty("java.io.tmpdir", ""));
    if (Files.isDirectory(folder) && Files.isWritable(folder)) {
      return folder;
    }
    throw new IOException(
        folder
            + ": the folder of temporary files must exist and be writable, but "
            + (Files.isDirectory(folder) ? "is not writable" : "is missing")
            + "; -Djava.io.tmpdir=DIR names another");
  }
}
