// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.tensor;

import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFileAttributeView;
import java.util.UUID;

/// Writes a file so that readers see the old one or the whole new one, never a part.
///
/// A symbolic link stays one, and what it leads to is written. A new file has the mode that the
/// process gives all its files, a replaced one keeps its own.
public final class AtomicFile {
  private static final int MOST_LINKS = 40;

  private AtomicFile() {}

  /// What is to be written.
  @FunctionalInterface
  public interface Content {
    /// Writes all of it.
    void writeTo(OutputStream out) throws IOException;
  }

  /// Writes a file in an existing folder.
  ///
  /// @throws IOException if the folder cannot be written, or links lead in a circle
  public static void write(Path path, Content content) throws IOException {
    Path target = behindLinks(path);
    Path temporary = target.resolveSibling("." + target.getFileName() + "." + UUID.randomUUID());
    try {
      try (FileChannel channel =
              FileChannel.open(temporary, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
          OutputStream out = new BufferedOutputStream(Channels.newOutputStream(channel))) {
        content.writeTo(out);
        out.flush();
        channel.force(true);
      }
      keepMode(target, temporary);
      Files.move(
          temporary, target, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    } finally {
      Files.deleteIfExists(temporary);
    }
  }

  private static Path behindLinks(Path path) throws IOException {
    Path at = path;
    for (int links = 0; Files.isSymbolicLink(at); links++) {
      if (links == MOST_LINKS) {
        throw new IOException(path + ": symbolic links must lead to a file, but lead in a circle");
      }
      at = at.resolveSibling(Files.readSymbolicLink(at));
    }
    return at;
  }

  private static void keepMode(Path old, Path replacement) throws IOException {
    PosixFileAttributeView before = Files.getFileAttributeView(old, PosixFileAttributeView.class);
    PosixFileAttributeView after =
        Files.getFileAttributeView(replacement, PosixFileAttributeView.class);
    if (before != null && after != null && Files.exists(old)) {
      after.setPermissions(before.readAttributes().permissions());
    }
  }
}
