// SPDX-License-Identifier: Apache-2.0
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.commonmark.Extension;
import org.commonmark.ext.gfm.tables.TablesExtension;
import org.commonmark.ext.heading.anchor.HeadingAnchorExtension;
import org.commonmark.node.AbstractVisitor;
import org.commonmark.node.Heading;
import org.commonmark.node.Image;
import org.commonmark.node.Link;
import org.commonmark.node.Node;
import org.commonmark.node.Text;
import org.commonmark.parser.Parser;
import org.commonmark.renderer.html.HtmlRenderer;

/// Makes the web site around the Javadoc: every Markdown document as a page, and the report page of
/// every committed sweep. Links of these pages within the site are then followed; exit code 1 if
/// one leads nowhere.
public final class Site {
  private static final List<Extension> EXTENSIONS =
      List.of(TablesExtension.create(), HeadingAnchorExtension.create());
  private static final Parser PARSER = Parser.builder().extensions(EXTENSIONS).build();
  private static final HtmlRenderer RENDERER =
      HtmlRenderer.builder().extensions(EXTENSIONS).build();
  private static final Pattern REFERENCE =
      Pattern.compile("<(?:a|img|link|script)\\b[^>]*?\\b(?:href|src)=\"([^\"]*)\"");
  private static final Pattern ID = Pattern.compile("\\bid=\"([^\"]*)\"");
  private static final String STYLE =
      """
      body { font: 16px/1.55 system-ui, sans-serif; color: #1b1f24; background: #fff; margin: 0; }
      nav { background: #10324d; padding: .6rem 1rem; display: flex; flex-wrap: wrap; }
      nav a { color: #fff; margin-right: 1.1rem; text-decoration: none; white-space: nowrap; }
      main { max-width: 62rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
      a { color: #0a5ea8; } img { max-width: 100%; height: auto; }
      pre { background: #f4f6f8; padding: .8rem; overflow-x: auto; border-radius: 4px; }
      code { font-family: ui-monospace, monospace; font-size: .9em; }
      table { border-collapse: collapse; display: block; overflow-x: auto; overflow-wrap: normal; }
      td, th { border: 1px solid #cfd6dd; padding: .3rem .5rem; text-align: left; vertical-align: top; }
      h1, h2, h3 { line-height: 1.25; }
      """;

  private final Path root;
  private final Path site;
  private final Map<String, String> pages = new TreeMap<>();
  private final Set<String> copied = new LinkedHashSet<>();

  private Site(Path root, Path site) {
    this.root = root;
    this.site = site;
  }

  /// Runs with the project's folder, the site's folder, which may hold `api` already, and the jar
  /// of the program.
  public static void main(String[] arguments) throws IOException, InterruptedException {
    Site made = new Site(Path.of(arguments[0]).toAbsolutePath().normalize(), Path.of(arguments[1]));
    made.documents();
    made.reports(Path.of(arguments[2]));
    List<String> dead = made.deadLinks();
    dead.forEach(System.err::println);
    System.out.println(
        made.pages.size()
            + " pages, "
            + made.copied.size()
            + " files, "
            + dead.size()
            + " dead links");
    System.out.println(made.site.resolve("index.html").toAbsolutePath().toUri());
    if (!dead.isEmpty()) {
      System.exit(1);
    }
  }

  private void documents() throws IOException {
    List<Path> all = new ArrayList<>();
    for (String name :
        List.of(
            "README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "THIRD-PARTY.md")) {
      all.add(root.resolve(name));
    }
    for (String folder : List.of("docs", "examples", "bench/results")) {
      try (Stream<Path> files = Files.walk(root.resolve(folder))) {
        files
            .filter(file -> file.toString().endsWith(".md"))
            .filter(file -> !file.toString().contains("target"))
            .forEach(all::add);
      }
    }
    for (Path document : all) {
      pages.put(name(document), target(name(document)));
    }
    for (String document : pages.keySet()) {
      page(document);
    }
  }

  private String name(Path file) {
    return root.relativize(file).toString().replace('\\', '/');
  }

  private static String target(String document) {
    String folder = document.substring(0, document.lastIndexOf('/') + 1);
    return document.endsWith("README.md")
        ? folder + "index.html"
        : document.replaceAll("\\.md$", ".html").replaceAll("/report\\.html$", "/tables.html");
  }

  private void page(String document) throws IOException {
    Node text = PARSER.parse(Files.readString(root.resolve(document)));
    Path folder = Path.of(document).getParent();
    text.accept(
        new AbstractVisitor() {
          @Override
          public void visit(Link link) {
            link.setDestination(destination(folder, link.getDestination()));
            visitChildren(link);
          }

          @Override
          public void visit(Image image) {
            image.setDestination(destination(folder, image.getDestination()));
            visitChildren(image);
          }
        });
    String own = pages.get(document);
    String up = "../".repeat((int) own.chars().filter(c -> c == '/').count());
    StringBuilder html = new StringBuilder("<!doctype html>\n<html lang=\"en\"><head>");
    html.append("<meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">");
    html.append("<title>").append(title(text, document)).append("</title><style>\n");
    html.append(STYLE).append("</style></head><body><nav>");
    link(html, up + pages.get("README.md"), "Crossover");
    link(html, up + pages.get("bench/results/README.md"), "Results");
    pages.forEach(
        (other, page) -> {
          if (other.startsWith("docs/")
              || other.equals("CHANGELOG.md")
              || other.equals("CONTRIBUTING.md")) {
            String label = other.replaceAll("^docs/|\\.md$", "").replace('-', ' ').toLowerCase();
            link(html, up + page, Character.toUpperCase(label.charAt(0)) + label.substring(1));
          }
        });
    if (Files.exists(site.resolve("api/index.html"))) {
      link(html, up + "api/index.html", "Javadoc");
    }
    html.append("</nav><main>\n").append(RENDERER.render(text)).append("</main></body></html>\n");
    Path file = site.resolve(own);
    Files.createDirectories(file.getParent());
    Files.writeString(file, html.toString());
  }

  private static void link(StringBuilder html, String address, String label) {
    html.append("<a href=\"").append(address).append("\">").append(label).append("</a>");
  }

  private static String title(Node text, String document) {
    for (Node node = text.getFirstChild(); node != null; node = node.getNext()) {
      if (node instanceof Heading && node.getFirstChild() instanceof Text heading) {
        return heading.getLiteral().replace("&", "&amp;").replace("<", "&lt;");
      }
    }
    return document;
  }

  /// Where a link of a document leads on the site: to a page, or to a file that is copied there.
  private String destination(Path folder, String link) {
    if (link.matches("[a-z]+:.*") || link.startsWith("#")) {
      return link;
    }
    String[] parts = link.split("#", 2);
    String anchor = parts.length == 2 ? "#" + parts[1] : "";
    Path path = (folder == null ? Path.of(parts[0]) : folder.resolve(parts[0])).normalize();
    String name = path.toString().replace('\\', '/');
    if (pages.containsKey(name)) {
      Path from = folder == null ? Path.of("") : folder;
      return from.relativize(Path.of(pages.get(name))).toString().replace('\\', '/') + anchor;
    }
    Path file = root.resolve(name);
    if (Files.isRegularFile(file) && copied.add(name)) {
      try {
        Files.createDirectories(site.resolve(name).getParent());
        Files.copy(file, site.resolve(name), StandardCopyOption.REPLACE_EXISTING);
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }
    return link;
  }

  /// The interactive page of every committed study.
  private void reports(Path program) throws IOException, InterruptedException {
    List<Path> studies;
    try (Stream<Path> files = Files.walk(root.resolve("bench/results"))) {
      studies = files.filter(file -> file.endsWith("results.jsonl")).sorted().toList();
    }
    for (Path study : studies) {
      String folder = name(study.getParent());
      List<String> command =
          List.of(
              ProcessHandle.current().info().command().orElse("java"),
              "-jar",
              program.toString(),
              "report",
              study.toString(),
              "-o",
              site.resolve(folder).toString());
      Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
      String text = new String(process.getInputStream().readAllBytes());
      if (process.waitFor() != 0) {
        throw new IOException(String.join(" ", command) + " failed: " + text);
      }
    }
  }

  private List<String> deadLinks() throws IOException {
    List<Path> html;
    try (Stream<Path> files = Files.walk(site)) {
      html =
          files
              .filter(file -> file.toString().endsWith(".html"))
              .filter(file -> !file.startsWith(site.resolve("api")))
              .sorted()
              .toList();
    }
    Map<Path, Set<String>> ids = new TreeMap<>();
    List<String> dead = new ArrayList<>();
    for (Path file : html) {
      Matcher reference = REFERENCE.matcher(Files.readString(file));
      while (reference.find()) {
        String link = reference.group(1);
        if (link.isEmpty() || link.matches("[a-z]+:.*")) {
          continue;
        }
        String[] parts = link.split("#", 2);
        Path to = parts[0].isEmpty() ? file : file.resolveSibling(parts[0]).normalize();
        if (Files.isDirectory(to) && !Files.exists(to.resolve("index.html"))) {
          list(to);
        } else if (!Files.exists(to)) {
          dead.add(site.relativize(file) + ": " + link + " leads nowhere");
        } else if (parts.length == 2 && !ids(ids, to).contains(parts[1])) {
          dead.add(site.relativize(file) + ": " + link + " has no such anchor");
        }
      }
    }
    return dead;
  }

  /// Gives a folder that a page leads to a page of its own.
  private static void list(Path folder) throws IOException {
    StringBuilder html = new StringBuilder("<!doctype html>\n<html lang=\"en\"><head>");
    html.append("<meta charset=\"utf-8\"><title>Files</title></head><body><ul>\n");
    try (Stream<Path> files = Files.list(folder)) {
      files
          .map(file -> file.getFileName().toString())
          .sorted()
          .forEach(
              name -> {
                html.append("<li>");
                link(html, name, name);
                html.append("</li>\n");
              });
    }
    Files.writeString(folder.resolve("index.html"), html.append("</ul></body></html>\n"));
  }

  private static Set<String> ids(Map<Path, Set<String>> known, Path file) throws IOException {
    if (!known.containsKey(file)) {
      Set<String> found = new TreeSet<>();
      Matcher id = ID.matcher(Files.readString(file));
      while (id.find()) {
        found.add(id.group(1));
      }
      known.put(file, found);
    }
    return known.get(file);
  }
}
