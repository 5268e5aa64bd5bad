// SPDX-License-Identifier: Apache-2.0
package dev.crossover.launcher;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class LauncherTest {
  private static final int CLASS_FILE_OF_JAVA_11 = 55;

  @TempDir Path folder;

  @Test
  void launcherRunsOnJavaEleven() throws IOException {
    try (DataInputStream file =
        new DataInputStream(Launcher.class.getResourceAsStream("Launcher.class"))) {
      assertEquals(0xCAFEBABE, file.readInt());
      file.readUnsignedShort();
      assertEquals(CLASS_FILE_OF_JAVA_11, file.readUnsignedShort());
    }
  }

  @Test
  void incubatorWarningIsSwallowedAndAllElsePassesOn() throws Exception {
    String warning = "WARNING: Using incubator modules: jdk.incubator.vector\n";
    assertEquals("error: x\n", passedOn(warning + "error: x\n"));
    assertEquals("error: x\n", passedOn("error: x\n"));
    assertEquals("WARNING: Using", passedOn("WARNING: Using"));
    assertEquals("a\n" + warning, passedOn("a\n" + warning));
    assertEquals("", passedOn(warning));
  }

  @Test
  void whatComputesIsNeverStartedWithoutTheOptimisingCompiler() {
    assertFalse(Launcher.quick(new String[] {"list", "performer"}).isEmpty());
    assertFalse(Launcher.quick(new String[0]).isEmpty());
    for (String computing : new String[] {"sweep", "train", "conformance", "explain", "errors"}) {
      assertTrue(Launcher.quick(new String[] {computing, "list"}).isEmpty(), computing);
    }
  }

  @Test
  void archiveOfClassesIsKeptWhereTheUserSaysAndNowhereElse() throws Exception {
    Path own = folder.resolve("own");
    assertEquals(own, Launcher.cacheFolder(Map.of("CROSSOVER_CACHE", own.toString())));
    assertNull(Launcher.cacheFolder(Map.of("CROSSOVER_CACHE", "")));
    assertEquals(List.of(), Launcher.archive(null, "a.jar"));
    List<String> flags = Launcher.archive(own, "a.jar");
    assertTrue(flags.contains("-XX:+AutoCreateSharedArchive"), flags.toString());
    assertTrue(Files.isDirectory(own));
    assertNotEquals(flags, Launcher.archive(own, "b.jar"));
    Path file = Files.createFile(folder.resolve("file"));
    assertEquals(List.of(), Launcher.archive(file.resolve("inside"), "a.jar"));
  }

  /// The folder holds the launcher but not the program, so java itself answers with exit code 1.
  @Test
  void exitCodeAndErrorsOfTheProgramArePassedOn() throws Exception {
    Process process = startedFromAFolder("list");
    String errors = new String(process.getErrorStream().readAllBytes(), StandardCharsets.UTF_8);
    assertTrue(process.waitFor(60, TimeUnit.SECONDS));
    assertEquals(1, process.exitValue(), errors);
    assertTrue(errors.contains("dev.crossover.reports.cli.Main"), errors);
    assertFalse(errors.contains("incubator"), errors);
  }

  private Process startedFromAFolder(String argument) throws IOException {
    Path classes = folder.resolve("dev/crossover/launcher");
    Files.createDirectories(classes);
    try (InputStream bytes = Launcher.class.getResourceAsStream("Launcher.class")) {
      Files.copy(bytes, classes.resolve("Launcher.class"));
    }
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.addAll(List.of("-cp", folder.toString(), Launcher.class.getName(), argument));
    return new ProcessBuilder(command).start();
  }

  /// Sends text through the launcher's filter, in one piece and byte by byte, which must agree.
  private static String passedOn(String text) throws Exception {
    String whole = filtered(text, Integer.MAX_VALUE);
    assertEquals(whole, filtered(text, 1));
    return whole;
  }

  private static String filtered(String text, int mostAtOnce) throws Exception {
    PrintStream errors = System.err;
    ByteArrayOutputStream captured = new ByteArrayOutputStream();
    System.setErr(new PrintStream(captured, true, StandardCharsets.UTF_8));
    try {
      InputStream source =
          new ByteArrayInputStream(text.getBytes(StandardCharsets.UTF_8)) {
            @Override
            public synchronized int read(byte[] into, int offset, int length) {
              return super.read(into, offset, Math.min(mostAtOnce, length));
            }
          };
      Method filter = Launcher.class.getDeclaredMethod("passOn", InputStream.class);
      filter.setAccessible(true);
      filter.invoke(null, source);
    } finally {
      System.setErr(errors);
    }
    return captured.toString(StandardCharsets.UTF_8);
  }
}
