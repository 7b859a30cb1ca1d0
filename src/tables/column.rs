//! A table as one list: each column with its name, its type and what a row has there.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Float32Builder, Float64Builder, Int16Builder, Int32Builder, Int64Builder,
    ListBuilder, RecordBatch, StringBuilder, StringDictionaryBuilder,
};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef};

use crate::error::{Exit, Problem};

/// Type of a column. Signed integers only, no nanoseconds: what every reader of Parquet takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ColumnType {
    /// Text that differs from row to row.
    Text,
    /// Text that repeats: a dictionary in memory and plain text in Parquet.
    Word,
    /// 64-bit integer.
    I64,
    /// 32-bit integer.
    I32,
    /// 16-bit integer.
    I16,
    /// Double precision.
    F64,
    /// Single precision.
    F32,
    /// true or false.
    Bool,
    /// A list of single-precision numbers.
    F32List,
}

impl ColumnType {
    /// The type as docs/tables.md names it.
    pub(crate) fn described(self) -> &'static str {
        match self {
            Self::Text | Self::Word => "text",
            Self::I64 => "int64",
            Self::I32 => "int32",
            Self::I16 => "int16",
            Self::F64 => "float64",
            Self::F32 => "float32",
            Self::Bool => "bool",
            Self::F32List => "list of float32",
        }
    }

    fn data_type(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Word => DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
            Self::I64 => DataType::Int64,
            Self::I32 => DataType::Int32,
            Self::I16 => DataType::Int16,
            Self::F64 => DataType::Float64,
            Self::F32 => DataType::Float32,
            Self::Bool => DataType::Boolean,
            Self::F32List => DataType::List(Arc::new(item())),
        }
    }
}

fn item() -> Field {
    Field::new("item", DataType::Float32, false)
}

/// What one row has in one column.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    /// For [`ColumnType::Text`] and [`ColumnType::Word`].
    Text(&'a str),
    /// For the integers; a number outside the column's range becomes its nearest.
    Whole(i64),
    /// For the floating-point numbers, rounded to the column's precision.
    Number(f64),
    /// For [`ColumnType::Bool`].
    Flag(bool),
    /// For [`ColumnType::F32List`].
    Numbers(&'a [f64]),
    /// For [`ColumnType::F32List`], in its own precision.
    Singles(&'a [f32]),
    /// Nothing; allowed where the column may be null.
    Null,
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Value<'_> {
    fn from(number: u64) -> Self {
        Self::Whole(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Value<'_> {
    fn from(number: u32) -> Self {
        Self::Whole(i64::from(number))
    }
}

impl From<f64> for Value<'_> {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value<'_> {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A table whose rows are `Row`s.
pub(crate) trait Rows {
    /// What one row is made from.
    type Row<'a>;

    /// The columns, in the order in which they stand in the table.
    fn columns() -> Vec<Column<Self>>;
}

/// One column of the table `T`.
pub(crate) struct Column<T: Rows + ?Sized> {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its type.
    pub(crate) kind: ColumnType,
    /// Whether a row may have nothing there.
    pub(crate) is_nullable: bool,
    /// What a row has there.
    pub(crate) value: for<'a> fn(&'a T::Row<'a>) -> Value<'a>,
}

impl<T: Rows + ?Sized> Column<T> {
    /// A column that every row fills.
    pub(crate) fn must(
        name: &'static str,
        kind: ColumnType,
        value: for<'a> fn(&'a T::Row<'a>) -> Value<'a>,
    ) -> Self {
        Self { name, kind, is_nullable: false, value }
    }

    /// A column that a row may leave empty.
    pub(crate) fn may(
        name: &'static str,
        kind: ColumnType,
        value: for<'a> fn(&'a T::Row<'a>) -> Value<'a>,
    ) -> Self {
        Self { name, kind, is_nullable: true, value }
    }

    /// The column as Arrow knows it.
    pub(crate) fn field(&self) -> Field {
        Field::new(self.name, self.kind.data_type(), self.is_nullable)
    }
}

/// Rows on their way into a record batch.
pub(crate) struct Collected<T: Rows> {
    columns: Vec<(Column<T>, Builder)>,
    n_rows: usize,
}

impl<T: Rows> Collected<T> {
    /// No rows yet, with these columns.
    pub(crate) fn new(columns: Vec<Column<T>>) -> Self {
        let with_builder = |column: Column<T>| {
            let builder = Builder::new(column.kind);
            (column, builder)
        };
        Self { columns: columns.into_iter().map(with_builder).collect(), n_rows: 0 }
    }

    /// The table's schema.
    pub(crate) fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(self.columns.iter().map(|(column, _)| column.field()).collect::<Vec<_>>()))
    }

    /// Rows collected since the last [`Collected::take`].
    pub(crate) fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Adds one row.
    ///
    /// # Errors
    /// `B005` when a column's value is not of its type, which a test of every table rules out.
    pub(crate) fn push<'a>(&mut self, row: &'a T::Row<'a>) -> Result<(), Problem> {
        for (column, builder) in &mut self.columns {
            if !builder.append((column.value)(row)) {
                let what = format!("column {} got a value of another type", column.name);
                return Err(Problem::new("B005", Exit::Bug, what));
            }
        }
        self.n_rows += 1;
        Ok(())
    }

    /// The rows as a batch of the table's schema; empties the collection.
    ///
    /// # Errors
    /// `B005` when a column that every row fills has a gap.
    pub(crate) fn take(&mut self) -> Result<RecordBatch, Problem> {
        self.n_rows = 0;
        let schema = self.schema();
        let arrays = self.columns.iter_mut().map(|(_, builder)| builder.finish()).collect();
        RecordBatch::try_new(schema, arrays)
            .map_err(|_| Problem::new("B005", Exit::Bug, "a row does not fit its table"))
    }
}

/// Arrow's builder of each kind.
enum Builder {
    Text(StringBuilder),
    Word(StringDictionaryBuilder<Int32Type>),
    I64(Int64Builder),
    I32(Int32Builder),
    I16(Int16Builder),
    F64(Float64Builder),
    F32(Float32Builder),
    Bool(BooleanBuilder),
    F32List(ListBuilder<Float32Builder>),
}

impl Builder {
    fn new(kind: ColumnType) -> Self {
        match kind {
            ColumnType::Text => Self::Text(StringBuilder::new()),
            ColumnType::Word => Self::Word(StringDictionaryBuilder::new()),
            ColumnType::I64 => Self::I64(Int64Builder::new()),
            ColumnType::I32 => Self::I32(Int32Builder::new()),
            ColumnType::I16 => Self::I16(Int16Builder::new()),
            ColumnType::F64 => Self::F64(Float64Builder::new()),
            ColumnType::F32 => Self::F32(Float32Builder::new()),
            ColumnType::Bool => Self::Bool(BooleanBuilder::new()),
            ColumnType::F32List => Self::F32List(ListBuilder::new(Float32Builder::new()).with_field(item())),
        }
    }

    /// `false` when the value is of another type.
    fn append(&mut self, value: Value<'_>) -> bool {
        match (self, value) {
            (Self::Text(builder), Value::Text(text)) => builder.append_value(text),
            (Self::Text(builder), Value::Null) => builder.append_null(),
            (Self::Word(builder), Value::Text(text)) => builder.append_value(text),
            (Self::Word(builder), Value::Null) => builder.append_null(),
            (Self::I64(builder), Value::Whole(number)) => builder.append_value(number),
            (Self::I64(builder), Value::Null) => builder.append_null(),
            (Self::I32(builder), Value::Whole(number)) => builder.append_value(narrow32(number)),
            (Self::I32(builder), Value::Null) => builder.append_null(),
            (Self::I16(builder), Value::Whole(number)) => builder.append_value(narrow16(number)),
            (Self::I16(builder), Value::Null) => builder.append_null(),
            (Self::F64(builder), Value::Number(number)) => builder.append_value(number),
            (Self::F64(builder), Value::Null) => builder.append_null(),
            (Self::F32(builder), Value::Number(number)) => builder.append_value(single(number)),
            (Self::F32(builder), Value::Null) => builder.append_null(),
            (Self::Bool(builder), Value::Flag(flag)) => builder.append_value(flag),
            (Self::Bool(builder), Value::Null) => builder.append_null(),
            (Self::F32List(builder), Value::Numbers(numbers)) => {
                builder.append_value(numbers.iter().map(|&number| Some(single(number))));
            }
            (Self::F32List(builder), Value::Singles(numbers)) => {
                builder.append_value(numbers.iter().map(|&number| Some(number)));
            }
            (Self::F32List(builder), Value::Null) => builder.append_null(),
            _ => return false,
        }
        true
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Text(builder) => Arc::new(builder.finish()),
            Self::Word(builder) => Arc::new(builder.finish()),
            Self::I64(builder) => Arc::new(builder.finish()),
            Self::I32(builder) => Arc::new(builder.finish()),
            Self::I16(builder) => Arc::new(builder.finish()),
            Self::F64(builder) => Arc::new(builder.finish()),
            Self::F32(builder) => Arc::new(builder.finish()),
            Self::Bool(builder) => Arc::new(builder.finish()),
            Self::F32List(builder) => Arc::new(builder.finish()),
        }
    }
}

fn narrow32(number: i64) -> i32 {
    i32::try_from(number).unwrap_or(if number < 0 { i32::MIN } else { i32::MAX })
}

fn narrow16(number: i64) -> i16 {
    i16::try_from(number).unwrap_or(if number < 0 { i16::MIN } else { i16::MAX })
}

#[expect(clippy::cast_possible_truncation, reason = "per-row columns are single precision by design")]
fn single(number: f64) -> f32 {
    number as f32
}
