// SPDX-License-Identifier: Apache-2.0
package dev.crossover.launcher;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.URISyntaxException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * Starts the real program on a JDK 25 or newer, with the flags the vector module needs.
 *
 * <p>Runs on any Java from 11 on. A JDK is looked for in this order: the one that runs this class,
 * CROSSOVER_JAVA_HOME, JAVA_HOME, JDK_HOME, the java on the PATH, and the folders where installers
 * put JDKs; among the last the oldest that will do is taken. Standard streams are inherited, the
 * exit code is passed on, and a signal that ends this process ends the program too. Jars named by
 * CROSSOVER_PATH are put behind the program's own on the class path: mechanisms and tasks they
 * provide are used like built-in ones.
 */
public final class Launcher {
  private static final int OLDEST = 25;
  private static final String MAIN = "dev.crossover.reports.cli.Main";
  private static final String VECTOR = "jdk.incubator.vector";
  private static final String WARNING = "WARNING: Using incubator modules: " + VECTOR;
  private static final Pattern VERSION = Pattern.compile("JAVA_VERSION=\"(\\d+)[^\"]*\"");
  private static final Pattern MODULES = Pattern.compile("MODULES=\"([^\"]*)\"");

  /** Commands that only print, and end before a compiler or a collector of threads pays. */
  private static final List<String> PRINTING =
      Collections.unmodifiableList(
          Arrays.asList("list", "help", "generate-completion", "--help", "--version"));

  private Launcher() {}

  /**
   * Finds a JDK and runs the program in it.
   *
   * @param arguments passed on unchanged
   */
  public static void main(String[] arguments) throws IOException, InterruptedException {
    Path home = findHome();
    if (home == null) {
      System.err.println(
          "crossover: needs a JDK "
              + OLDEST
              + " or newer, found only Java "
              + Runtime.version().feature()
              + "; install one (for example Eclipse Temurin "
              + OLDEST
              + ") or set JAVA_HOME to it");
      System.exit(1);
    }
    System.exit(run(home, arguments));
  }

  private static int run(Path home, String[] arguments) throws IOException, InterruptedException {
    List<String> command = new ArrayList<>();
    command.add(java(home).toString());
    command.add("--add-modules=" + VECTOR);
    command.add("--sun-misc-unsafe-memory-access=allow");
    command.add("-Djava.awt.headless=true");
    command.add("-Dcrossover.launched=true");
    command.addAll(quick(arguments));
    if (File.separatorChar == '/') {
      command.add("-Dstdout.encoding=UTF-8");
      command.add("-Dstderr.encoding=UTF-8");
    }
    String extra = System.getenv("CROSSOVER_JAVA_OPTS");
    if (extra != null && !extra.trim().isEmpty()) {
      command.addAll(Arrays.asList(extra.trim().split("\\s+")));
    }
    String added = System.getenv("CROSSOVER_PATH");
    String path =
        added == null || added.isEmpty() ? ownJar() : ownJar() + File.pathSeparator + added;
    if (!quick(arguments).isEmpty() && Files.isRegularFile(Paths.get(ownJar()))) {
      command.addAll(archive(cacheFolder(System.getenv()), path));
    }
    command.add("-cp");
    command.add(path);
    command.add(MAIN);
    command.addAll(Arrays.asList(arguments));
    Process process =
        new ProcessBuilder(command)
            .redirectInput(ProcessBuilder.Redirect.INHERIT)
            .redirectOutput(ProcessBuilder.Redirect.INHERIT)
            .start();
    Thread errors = new Thread(() -> passOn(process.getErrorStream()));
    errors.setDaemon(true);
    errors.start();
    Runtime.getRuntime().addShutdownHook(new Thread(() -> stop(process, errors)));
    int code = process.waitFor();
    errors.join(2000);
    return code;
  }

  /** What lets a command that only prints start in half the time. */
  static List<String> quick(String[] arguments) {
    boolean prints = arguments.length == 0 || PRINTING.contains(arguments[0]);
    return prints
        ? Arrays.asList("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
        : Collections.<String>emptyList();
  }

  /**
   * What lets the program map the classes that it loaded before, from an archive that the first run
   * leaves behind. Java checks that the archive belongs to itself and to the jars, and makes it
   * anew where it does not; whatever is wrong with it, the program starts without.
   *
   * @param folder where archives are kept; null for none
   * @param path the class path
   */
  static List<String> archive(Path folder, String path) {
    if (folder == null) {
      return Collections.emptyList();
    }
    try {
      Files.createDirectories(folder);
    } catch (IOException | RuntimeException e) {
      // a program that can keep nothing starts as it always does
      return Collections.emptyList();
    }
    Path file = folder.resolve("classes-" + Integer.toHexString(path.hashCode()) + ".jsa");
    return Arrays.asList(
        "-XX:+AutoCreateSharedArchive",
        "-XX:SharedArchiveFile=" + file,
        "-Xshare:auto",
        "-Xlog:disable");
  }

  /**
   * The folder for what can be made again: CROSSOVER_CACHE, none where that is empty, or the
   * system's own.
   */
  static Path cacheFolder(Map<String, String> environment) {
    String own = environment.get("CROSSOVER_CACHE");
    String local = environment.get("LOCALAPPDATA");
    String cache = environment.get("XDG_CACHE_HOME");
    String user = System.getProperty("user.home", "");
    try {
      if (own != null) {
        return own.trim().isEmpty() ? null : Paths.get(own.trim());
      }
      if (File.separatorChar != '/' && local != null) {
        return Paths.get(local, "crossover", "cache");
      }
      if (cache != null && !cache.trim().isEmpty()) {
        return Paths.get(cache.trim(), "crossover");
      }
      return user.isEmpty() ? null : Paths.get(user, ".cache", "crossover");
    } catch (RuntimeException e) {
      // a variable that is no path names no folder
      return null;
    }
  }

  /** Ends the program when this process is told to end, and waits for its last words. */
  private static void stop(Process process, Thread errors) {
    // through the handle: Process.destroy would close the stream its last words come through
    process.toHandle().destroy();
    try {
      if (!process.waitFor(5, TimeUnit.SECONDS)) {
        process.destroyForcibly();
      }
      errors.join(1000);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  /**
   * Copies the program's errors as they come, without the line every vector program starts with.
   */
  private static void passOn(InputStream from) {
    OutputStream to = System.err;
    byte[] expected = (WARNING + "\n").getBytes(StandardCharsets.UTF_8);
    byte[] buffer = new byte[8192];
    int held = 0;
    boolean first = true;
    try {
      for (int read = from.read(buffer, held, buffer.length - held);
          read >= 0;
          read = from.read(buffer, held, buffer.length - held)) {
        int size = held + read;
        held = 0;
        if (first && size < expected.length && startsAlike(buffer, expected, size)) {
          held = size;
          continue;
        }
        int skip = first && startsAlike(buffer, expected, expected.length) ? expected.length : 0;
        first = false;
        to.write(buffer, skip, size - skip);
        to.flush();
      }
      to.write(buffer, 0, held);
      to.flush();
    } catch (IOException e) {
      // the program or the terminal has gone; nothing is left to pass on
      return;
    }
  }

  private static boolean startsAlike(byte[] buffer, byte[] expected, int length) {
    for (int i = 0; i < length; i++) {
      if (buffer[i] != expected[i]) {
        return false;
      }
    }
    return true;
  }

  private static String ownJar() {
    try {
      return Paths.get(Launcher.class.getProtectionDomain().getCodeSource().getLocation().toURI())
          .toString();
    } catch (URISyntaxException e) {
      return System.getProperty("java.class.path");
    }
  }

  private static Path findHome() {
    List<Path> named = new ArrayList<>();
    addText(named, System.getProperty("java.home"));
    addText(named, System.getenv("CROSSOVER_JAVA_HOME"));
    addText(named, System.getenv("JAVA_HOME"));
    addText(named, System.getenv("JDK_HOME"));
    named.addAll(homesOnPath());
    for (Path home : named) {
      if (versionOf(home) >= OLDEST) {
        return home;
      }
    }
    Path best = null;
    for (Path home : installed()) {
      if (versionOf(home) >= OLDEST && (best == null || versionOf(home) < versionOf(best))) {
        best = home;
      }
    }
    return best;
  }

  private static List<Path> homesOnPath() {
    List<Path> homes = new ArrayList<>();
    String path = System.getenv("PATH");
    for (String folder : path == null ? new String[0] : path.split(File.pathSeparator)) {
      try {
        Path java = Paths.get(folder, "java");
        if (Files.isExecutable(java)) {
          Path bin = java.toRealPath().getParent();
          if (bin != null && bin.getParent() != null) {
            homes.add(bin.getParent());
          }
        }
      } catch (IOException | RuntimeException e) {
        // a broken entry of the PATH is no JDK
        continue;
      }
    }
    return homes;
  }

  private static List<Path> installed() {
    String user = System.getProperty("user.home", "");
    List<String> parents = new ArrayList<>();
    Collections.addAll(
        parents,
        "/usr/lib/jvm",
        "/usr/lib64/jvm",
        "/usr/java",
        "/usr/local",
        "/usr/local/openjdk",
        "/opt",
        "/opt/java",
        "/opt/jdk",
        "/opt/homebrew/opt",
        "/Library/Java/JavaVirtualMachines",
        user + "/Library/Java/JavaVirtualMachines",
        user + "/.sdkman/candidates/java",
        user + "/.jdks",
        user + "/.gradle/jdks",
        user + "/.m2/jdks",
        user + "/.asdf/installs/java",
        user + "/.local/share/mise/installs/java",
        user + "/.jabba/jdk");
    for (String variable : new String[] {"ProgramFiles", "ProgramW6432", "LOCALAPPDATA"}) {
      String programs = System.getenv(variable);
      if (programs != null) {
        for (String vendor :
            new String[] {
              "Java", "Eclipse Adoptium", "Microsoft", "Zulu", "Amazon Corretto", "BellSoft"
            }) {
          parents.add(programs + File.separator + vendor);
        }
      }
    }
    List<Path> homes = new ArrayList<>();
    for (String parent : parents) {
      for (Path child : children(Paths.get(parent))) {
        homes.add(child);
        homes.add(child.resolve("Contents").resolve("Home"));
        homes.add(child.resolve("libexec").resolve("openjdk.jdk").resolve("Contents/Home"));
      }
    }
    return homes;
  }

  private static List<Path> children(Path folder) {
    List<Path> children = new ArrayList<>();
    if (Files.isDirectory(folder)) {
      try (Stream<Path> entries = Files.list(folder)) {
        entries.sorted().forEach(children::add);
      } catch (IOException | RuntimeException e) {
        // a folder that may not be read holds no JDK for us
        return children;
      }
    }
    return children;
  }

  private static void addText(List<Path> homes, String text) {
    if (text != null && !text.trim().isEmpty()) {
      try {
        homes.add(Paths.get(text.trim()));
      } catch (RuntimeException e) {
        // a variable that is no path names no JDK
        return;
      }
    }
  }

  /** Major version of the Java in a folder, 0 if there is none that has the vector module. */
  private static int versionOf(Path home) {
    try {
      Path release = home.resolve("release");
      if (!Files.isExecutable(java(home)) || !Files.isReadable(release)) {
        return 0;
      }
      String text = new String(Files.readAllBytes(release), StandardCharsets.UTF_8);
      Matcher modules = MODULES.matcher(text);
      if (modules.find() && !Arrays.asList(modules.group(1).split(" ")).contains(VECTOR)) {
        return 0;
      }
      Matcher version = VERSION.matcher(text);
      return version.find() ? Integer.parseInt(version.group(1)) : 0;
    } catch (IOException | RuntimeException e) {
      // whatever lies there, it cannot be started
      return 0;
    }
  }

  private static Path java(Path home) {
    Path bin = home.resolve("bin");
    Path windows = bin.resolve("java.exe");
    return Files.exists(windows) ? windows : bin.resolve("java");
  }
}
