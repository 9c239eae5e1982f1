// What the JDBC driver gets from the database at the URL; one line per answer, `key<TAB>value`.

import java.sql.Array;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;

public final class Drive {
    private static void say(String key, Object value) {
        System.out.println(key + "\t" + value);
    }

    private static List<String> column(ResultSet found, String name) throws SQLException {
        List<String> values = new ArrayList<>();
        while (found.next()) values.add(found.getString(name));
        found.close();
        return values;
    }

    private static String shown(ResultSet row) throws SQLException {
        Array numbers = row.getArray("numbers");
        byte[] picture = row.getBytes("picture");
        return String.join("|",
            row.getString("email"), String.valueOf(row.getBigDecimal("income")),
            String.valueOf(row.getDate("born")), String.valueOf(row.getInt("visits")),
            String.valueOf(row.getObject("is_member")), String.valueOf(row.getString("channel")),
            java.util.Arrays.toString((Object[]) numbers.getArray()), String.valueOf(picture.length),
            String.valueOf(row.getObject("attributes")));
    }

    private static void metadata(Connection connection) throws SQLException {
        DatabaseMetaData data = connection.getMetaData();
        say("schemas", column(data.getSchemas(), "TABLE_SCHEM"));
        String[] tables = {"TABLE"};
        say("tables", column(data.getTables(null, "%", "%", tables), "TABLE_NAME"));
        ResultSet columns = data.getColumns(null, "crm", "customers", "%");
        List<String> types = new ArrayList<>();
        while (columns.next()) {
            types.add(columns.getString("COLUMN_NAME") + " " + columns.getString("TYPE_NAME")
                + "(" + columns.getInt("COLUMN_SIZE") + "," + columns.getInt("DECIMAL_DIGITS") + ")");
        }
        say("columns", types);
        say("key", column(data.getPrimaryKeys(null, "crm", "customers"), "COLUMN_NAME"));
        say("references", column(data.getImportedKeys(null, "sales", "orders"), "PKTABLE_NAME"));
        say("referred", column(data.getExportedKeys(null, "crm", "customers"), "FKTABLE_NAME"));
        say("indexes", column(data.getIndexInfo(null, "sales", "orders", false, true), "INDEX_NAME"));
        say("type", column(data.getTypeInfo(), "TYPE_NAME").contains("numeric"));
        say("functions", column(data.getFunctions(null, "crm", "%"), "FUNCTION_NAME"));
        say("version", data.getDatabaseProductName());
    }

    private static void rows(Connection connection) throws SQLException {
        String text = "SELECT email, income, born, visits, is_member, channel, numbers, picture,"
            + " attributes FROM crm.customers WHERE id = ?";
        try (PreparedStatement statement = connection.prepareStatement(text)) {
            // After five uses the driver names the statement, and takes binary results.
            for (int use = 0; use < 14; use++) {
                statement.setLong(1, 3 + use % 2);
                ResultSet row = statement.executeQuery();
                row.next();
                say("row" + (3 + use % 2), shown(row));
            }
            ResultSetMetaData data = statement.getMetaData();
            List<String> types = new ArrayList<>();
            for (int index = 1; index <= data.getColumnCount(); index++) {
                types.add(data.getColumnTypeName(index) + "(" + data.getPrecision(index) + ")");
            }
            say("types", types);
        }
    }

    private static void portions(Connection connection) throws SQLException {
        connection.setAutoCommit(false);
        try (PreparedStatement statement =
                connection.prepareStatement("SELECT id FROM sales.orders ORDER BY id")) {
            statement.setFetchSize(700);
            ResultSet found = statement.executeQuery();
            long sum = 0;
            while (found.next()) sum += found.getLong(1);
            say("portions", sum);
        }
        connection.rollback();
    }

    private static void failures(Connection connection) throws SQLException {
        connection.setAutoCommit(false);
        for (String text : new String[] {"SELECT * FROM sales.internal", "SELECT 1"}) {
            try (Statement statement = connection.createStatement()) {
                statement.executeQuery(text);
            } catch (SQLException error) {
                say("failed", error.getSQLState());
            }
        }
        connection.rollback();
        connection.setAutoCommit(true);
        connection.setReadOnly(true);
        connection.setTransactionIsolation(Connection.TRANSACTION_REPEATABLE_READ);
        connection.setAutoCommit(false);
        try (Statement statement = connection.createStatement()) {
            ResultSet found = statement.executeQuery("SELECT count(*) FROM crm.customers");
            found.next();
            say("count", found.getInt(1));
        }
        connection.rollback();
    }

    private static void several(Connection connection) throws SQLException {
        connection.setAutoCommit(true);
        try (Statement statement = connection.createStatement()) {
            boolean isRows = statement.execute("SELECT 1; SELECT count(*) FROM crm.customers");
            List<String> found = new ArrayList<>();
            while (isRows) {
                ResultSet row = statement.getResultSet();
                row.next();
                found.add(row.getString(1));
                isRows = statement.getMoreResults();
            }
            say("several", found);
        }
    }

    private static void copy(Connection connection) throws Exception {
        java.io.StringWriter out = new java.io.StringWriter();
        long rows = connection.unwrap(org.postgresql.PGConnection.class).getCopyAPI()
            .copyOut("COPY (SELECT id, email FROM crm.customers ORDER BY id) TO STDOUT", out);
        say("copy", rows + " " + out.toString().split("\n")[1]);
    }

    public static void main(String[] arguments) throws Exception {
        try (Connection connection =
                DriverManager.getConnection(arguments[0], arguments[1], arguments[2])) {
            metadata(connection);
            rows(connection);
            portions(connection);
            failures(connection);
            several(connection);
            copy(connection);
            say("valid", connection.isValid(5));
        }
    }
}
