// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.testing;

import dev.crossover.attention.Attention;
import dev.crossover.attention.conformance.GoldenFile;
import dev.crossover.attention.conformance.Replay;
import dev.crossover.attention.conformance.ReplayResult;
import dev.crossover.attention.conformance.ReplayResult.Status;
import dev.crossover.attention.mechanism.MechanismType;
import java.io.IOException;
import java.net.URI;
import java.net.URISyntaxException;
import java.net.URL;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assertions;
import org.junit.jupiter.api.DynamicTest;

/// A mechanism's golden files, replayed as tests.
///
/// ```java
/// @TestFactory
/// Stream<DynamicTest> goldenFiles() {
///   return GoldenTests.of(Longformer.class);
/// }
/// ```
public final class GoldenTests {
  private static final String FOLDER = "golden";

  private GoldenTests() {}

  /// One test per file of the mechanism among the module's test resources; there must be one.
  public static Stream<DynamicTest> of(Class<? extends Attention> mechanism) {
    return of(mechanism, Map.of());
  }

  /// One test per file, where some cases cannot be replayed.
  ///
  /// @param notReplayed reason per case name; the replay must indeed refuse these cases, by a
  ///     message
  public static Stream<DynamicTest> of(
      Class<? extends Attention> mechanism, Map<String, String> notReplayed) {
    MechanismType type = MechanismType.of(mechanism);
    List<Path> files = files(type);
    if (files.isEmpty()) {
      throw new AssertionError("no golden file of " + type.goldenName() + " was found");
    }
    return files.stream()
        .map(
            file ->
                DynamicTest.dynamicTest(
                    String.valueOf(file.getFileName()), () -> check(file, type, notReplayed)));
  }

  /// The golden files of a mechanism among the module's test resources, in the order of their
  /// names.
  public static List<Path> files(MechanismType type) {
    return files(type.goldenName()).stream().filter(path -> isMeant(path, type)).toList();
  }

  private static boolean isMeant(Path path, MechanismType type) {
    try {
      GoldenFile file = GoldenFile.read(path);
      return type.isMeantBy(file.mechanism(), file.parameters());
    } catch (IOException e) {
      throw new AssertionError(e);
    }
  }

  /// The golden files of a name among the module's test resources, in the order of their names.
  public static List<Path> files(String goldenName) {
    List<Path> files = new ArrayList<>();
    try {
      ClassLoader loader = Thread.currentThread().getContextClassLoader();
      for (URL url : Collections.list(loader.getResources(FOLDER))) {
        URI uri = url.toURI();
        if (uri.getScheme().equals("file")) {
          try (DirectoryStream<Path> folder =
              Files.newDirectoryStream(Path.of(uri), goldenName + "__*.safetensors")) {
            folder.forEach(files::add);
          }
        }
      }
    } catch (IOException | URISyntaxException e) {
      throw new AssertionError(e);
    }
    Collections.sort(files);
    return files;
  }

  private static void check(Path path, MechanismType type, Map<String, String> notReplayed)
      throws IOException {
    GoldenFile file = GoldenFile.read(path);
    ReplayResult result = Replay.run(file, type);
    String reason = notReplayed.get(file.caseName());
    if (reason == null) {
      Assertions.assertEquals(Status.PASSED, result.status(), result.line());
    } else {
      Assertions.assertEquals(Status.CANNOT_REPLAY, result.status(), reason + ": " + result.line());
    }
  }
}
